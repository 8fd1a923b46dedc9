/** Where a path of the API is; the API may itself stand below a path of its server. */
export function urlOf(baseUrl: string, path: string): string {
  return new URL(baseUrl.replace(/\/$/, "") + path).href;
}
