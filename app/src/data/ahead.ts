import { effect } from "@preact/signals";
import type { Account } from "./account.ts";
import { readAhead } from "./answers.ts";
import { account } from "./residents.ts";

const QUIET_MS = 3_000;

/** Once for each opening, a while after the first sync: what the person came for goes first. */
export function followAhead(): void {
  let done: Account | null = null;
  effect(() => {
    const open = account.value;
    if (open.syncedAt.value === null || done === open) return;
    done = open;
    // Where one fails, or the account was left meanwhile, the next opening reads the rest.
    setTimeout(() => void readAhead(open).catch(() => undefined), QUIET_MS);
  });
}
