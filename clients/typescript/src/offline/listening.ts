/** Pulling when the server says that there is something to pull (docs/mobile-sync.md). */

import { eventsOf } from "../events.ts";
import { urlOf } from "../places.ts";
import type { Problem } from "../problems.ts";
import { SignedOut } from "../sign_in.ts";
import { backoffMs, type Sleep, sleepFor } from "../waiting.ts";
import { type OfflineEngine, SyncFault } from "./engine.ts";

/** Opens the stream; null where no answer came. */
export type Open = (place: { after?: string; lastId?: string }) => Promise<Response | null>;

const AGAIN_MS = 5_000;

export function openBy(
  baseUrl: string,
  signed: (request: Request) => Promise<Response>,
  signal?: AbortSignal,
): Open {
  return async ({ after, lastId }) => {
    const headers = new Headers({ Accept: "text/event-stream" });
    if (lastId !== undefined) headers.set("Last-Event-ID", lastId);
    const query = after === undefined ? "" : `?${new URLSearchParams({ after })}`;
    const init = { headers, ...(signal === undefined ? {} : { signal }) };
    try {
      return await signed(new Request(urlOf(baseUrl, `/v1/sync/live${query}`), init));
    } catch (error) {
      if (error instanceof SignedOut) throw error;
      return null;
    }
  };
}

/**
 * Pull each time that the server tells of a change, until `signal` ends it.
 *
 * @throws SyncFault for an answer that a client of this version does not expect.
 */
export async function pullWhenTold(
  engine: Pick<OfflineEngine, "cursor" | "pull">,
  open: Open,
  options: { signal?: AbortSignal; sleep?: Sleep } = {},
): Promise<void> {
  const sleep = options.sleep ?? sleepFor;
  const isOver = () => options.signal?.aborted === true;
  const over = new Promise<void>((resolve) => options.signal?.addEventListener("abort", () => resolve()));
  const pause = async (ms: number) => await Promise.race([sleep(ms), over]);
  let lastId: string | undefined;
  let fromStart = false;
  for (let failures = 0; !isOver(); ) {
    const after = fromStart ? undefined : await engine.cursor();
    const response = await open({
      ...(after === undefined ? {} : { after }),
      ...(lastId === undefined ? {} : { lastId }),
    });
    if (isOver()) {
      await response?.body?.cancel();
      return;
    }
    if (response?.status === 422 && !fromStart) {
      fromStart = true; // neither the id nor the cursor is this account's
      lastId = undefined;
      continue;
    }
    if (response?.ok === true) {
      failures = 0;
      fromStart = false;
      try {
        for await (const event of eventsOf(response)) {
          if (event.event !== "changed") continue;
          if (!(await engine.pull())) break; // told again when it comes back
          lastId = event.id;
        }
      } catch (error) {
        if (error instanceof SyncFault || error instanceof SignedOut) throw error;
        // The stream was cut off.
      }
      if (!isOver()) await pause(AGAIN_MS);
    } else if (response === null || response.status >= 500 || response.status === 429) {
      await pause(backoffMs(failures++, response));
    } else {
      throw new SyncFault(response.status, (await response.json()) as Problem);
    }
  }
}
