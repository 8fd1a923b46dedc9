/** Where a path of the API is; the API may itself stand below a path of its server. */
export function urlOf(baseUrl: string, path: string): string {
  return new URL(baseUrl.replace(/\/$/, "") + path).href;
}

/** What the addresses of a path with parameters look like. */
export function patternOf(baseUrl: string, path: string): RegExp {
  const parts = path.split(/\{[^}]+\}/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const base = urlOf(baseUrl, "").replace(/\/$/, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${base}${parts.join("[^/]+")}$`);
}
