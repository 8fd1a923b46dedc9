/** Being told by the server that something has changed, so that the other phone's entry comes at once. */

import { type Open, type OfflineEngine, pullWhenTold } from "@cymba/client/offline";

/**
 * One stream for all tabs of this browser (`name` is theirs together), in one that is seen, while
 * there is a network. Where a stream cannot be had, the clock still asks every two minutes.
 *
 * @returns what ends it.
 */
export function listenWhileSeen(
  name: string,
  engine: Pick<OfflineEngine, "cursor" | "pull">,
  open: (signal: AbortSignal) => Open,
): () => void {
  let listening: AbortController | null = null;
  const listen = async (signal: AbortSignal) => {
    try {
      await navigator.locks.request(name, { signal }, async () => await pullWhenTold(engine, open(signal), { signal }));
    } catch {
      // It was ended while another tab had it; or the server refuses, and the next sync says why.
    }
  };
  const stop = () => {
    listening?.abort();
    listening = null;
  };
  const follow = () => {
    if (document.visibilityState !== "visible" || !navigator.onLine) stop();
    else if (listening === null) {
      listening = new AbortController();
      void listen(listening.signal);
    }
  };
  document.addEventListener("visibilitychange", follow);
  addEventListener("online", follow);
  addEventListener("offline", follow);
  follow();
  return () => {
    document.removeEventListener("visibilitychange", follow);
    removeEventListener("online", follow);
    removeEventListener("offline", follow);
    stop();
  };
}
