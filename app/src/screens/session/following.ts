/** The stream of a session that runs, over drops of the network. What is kept of it is bounded. */

import { signal, type Signal } from "@preact/signals";
import { eventsOf } from "@cymba/client";
import { type Account, problemOf } from "../../data/account.ts";
import type { Schemas } from "../../data/use.ts";

type Start = Schemas["LiveStart"];
type Samples = Schemas["LiveSamples"];
type Happened = Schemas["LiveEvent"];
type Stop = Schemas["LiveStop"];

export interface Reading {
  at_ms: number;
  /** By channel; null where the sensor had none. */
  values: Record<string, number | null>;
}

export type Connection = "connecting" | "live" | "interrupted" | "over" | { problem: unknown };

export interface Followed {
  connection: Connection;
  start: Start | null;
  /** The latest, in order of time. */
  readings: Reading[];
  /** The latest that each channel had, and when. */
  last: Record<string, { value: number; at_ms: number }>;
  happened: Happened[];
  stop: Stop | null;
}

const MOST_READINGS = 3_600; // an hour, at one a second
const MOST_HAPPENED = 50;
const AGAIN_MS = 2_000;
const SHOWN_EVERY_MS = 250;
const EMPTY: Followed = { connection: "connecting", start: null, readings: [], last: {}, happened: [], stop: null };

/** Follows until `stop` is called, or the session is over. */
export function follow(account: Account, id: string): { state: Signal<Followed>; stop: () => void } {
  let now: Followed = { ...EMPTY, readings: [] };
  const state = signal<Followed>(now);
  const ends = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  // A session that has run for an hour comes as thousands of frames at once: they are drawn together.
  const show = () => {
    clearTimeout(timer);
    timer = undefined;
    state.value = now;
  };
  const took = (name: string, data: unknown) => {
    now = after(now, name, data);
    timer ??= setTimeout(show, SHOWN_EVERY_MS);
  };
  const is = (connection: Connection) => {
    now = { ...now, connection };
    show();
  };
  void followInto({ account, id, signal: ends.signal, took, is });
  const stop = () => {
    clearTimeout(timer);
    ends.abort();
  };
  return { state, stop };
}

interface Following {
  account: Account;
  id: string;
  signal: AbortSignal;
  took: (name: string, data: unknown) => void;
  is: (connection: Connection) => void;
}

async function followInto({ account, id, signal, took, is }: Following): Promise<void> {
  let lastId = "";
  while (!signal.aborted) {
    try {
      const headers: HeadersInit = lastId === "" ? {} : { "Last-Event-ID": lastId };
      const response = await account.fetch(`/v1/sessions/${id}/live`, { headers, signal });
      if (response.status === 204) return is("over");
      if (!response.ok) return is({ problem: await problemOf(response) });
      is("live");
      for await (const event of eventsOf(response)) {
        lastId = event.id;
        if (event.event === "end") return is("over");
        took(event.event, JSON.parse(event.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof TypeError) && !(error instanceof DOMException)) return is({ problem: error });
    }
    is("interrupted");
    await new Promise((done) => setTimeout(done, AGAIN_MS));
  }
}

function after(before: Followed, name: string, data: unknown): Followed {
  switch (name) {
    case "start":
      return { ...before, start: data as Start };
    case "samples":
      return withSamples(before, data as Samples);
    case "event":
      return { ...before, happened: [...before.happened, data as Happened].slice(-MOST_HAPPENED) };
    case "stop":
      return { ...before, stop: data as Stop };
    default:
      return before;
  }
}

function withSamples(before: Followed, frame: Samples): Followed {
  const first_ms = Date.parse(frame.at);
  const perSample = Object.entries(frame.columns).filter(([, column]) => column.length === frame.count);
  const more: Reading[] = [];
  const last = { ...before.last };
  for (let i = 0; i < frame.count; i++) {
    const at_ms = first_ms + i * frame.interval_ms;
    more.push({ at_ms, values: Object.fromEntries(perSample.map(([name, column]) => [name, column[i] ?? null])) });
    for (const [name, column] of perSample) {
      const value = column[i] ?? null;
      if (value !== null && at_ms >= (last[name]?.at_ms ?? 0)) last[name] = { value, at_ms };
    }
  }
  // A late frame comes late, and belongs where it was measured.
  const isLate = more[0] !== undefined && more[0].at_ms < (before.readings.at(-1)?.at_ms ?? 0);
  // Grown in place, because a copy for each frame would cost the whole hour each second.
  const { readings } = before;
  readings.push(...more);
  if (isLate) readings.sort((one, other) => one.at_ms - other.at_ms);
  if (readings.length > 1.2 * MOST_READINGS) readings.splice(0, readings.length - MOST_READINGS);
  return { ...before, readings, last };
}
