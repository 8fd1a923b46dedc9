declare module "virtual:texts/de" {
  const texts: Record<string, string[]>;
  export default texts;
}
