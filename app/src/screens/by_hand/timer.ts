/** A timer that runs on while the app is closed: it is the moment at which it began. */

import type { Account } from "../../data/account.ts";

export interface Timer {
  started_at: string;
  /** A device of the person's, or else a model. */
  device_id: string | null;
  model: string | null;
  level_changes: { offset_s: number; native_level: number }[];
}

const KEY = "timer";

export async function runningTimer(account: Account): Promise<Timer | null> {
  return ((await account.kept(KEY))?.body as Timer | null | undefined) ?? null;
}

export async function keepTimer(account: Account, timer: Timer | null): Promise<void> {
  await account.keep(KEY, timer);
}

export function elapsed_s(timer: Timer, now_ms: number): number {
  return Math.max(Math.round((now_ms - Date.parse(timer.started_at)) / 1000), 0);
}
