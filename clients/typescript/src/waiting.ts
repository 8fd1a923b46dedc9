/** How long to wait before a request is sent again. */

export type Sleep = (ms: number) => Promise<void>;

export const sleepFor: Sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const FIRST_MS = 500;
const MOST_MS = 30_000;

/** What the server asks for with `Retry-After`, else longer each time, and not the same for all. */
export function backoffMs(tries: number, response: Response | null): number {
  const asked = Number(response?.headers.get("Retry-After") ?? Number.NaN);
  if (Number.isFinite(asked)) return Math.max(asked, 0) * 1000;
  return Math.min(FIRST_MS * 2 ** tries, MOST_MS) * (0.5 + Math.random() / 2);
}
