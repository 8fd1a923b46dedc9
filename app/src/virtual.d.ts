declare module "virtual:texts/de" {
  const texts: Record<string, string[]>;
  export default texts;
}

interface Window {
  /** Where the browser has Trusted Types. */
  trustedTypes?: {
    createPolicy(name: string, rules: { createScriptURL: (url: string) => string | null }): unknown;
  };
}
