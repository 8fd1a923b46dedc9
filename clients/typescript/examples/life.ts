/**
 * Two phones under one adapter, against a running server: `node life.ts rxdb` or `… watermelon`.
 *
 * Told by the environment: BASE and TOKEN, an access token.
 */

import assert from "node:assert/strict";
import { createCymba, type TokenPair } from "../src/index.ts";
import type { Aside, Entry, Seen } from "./steps.ts";

const { BASE: baseUrl = "", TOKEN = "" } = process.env;
const FELT = { felt_at: "2026-03-01T07:30:00.000000Z", time_zone: "UTC", session_id: null };

export interface Phone {
  write(id: string, fields: Record<string, unknown>): Promise<void>;
  remove(id: string): Promise<void>;
  sync(): Promise<void>;
  entries(): Promise<Entry[]>;
}
export type MakePhone = (
  name: string,
  cymba: ReturnType<typeof createCymba>,
  seen: Seen,
  onAside: (aside: Aside) => void,
) => Promise<Phone>;

const { makePhone } = (await import(`./${process.argv[2]}_phone.ts`)) as { makePhone: MakePhone };

async function phone(name: string) {
  const asides: Aside[] = [];
  const versions = new Map<string, number>();
  const seen: Seen = {
    get: (id) => versions.get(id) ?? 0,
    put: async (id, version) => void versions.set(id, version),
  };
  const network = { loses: 0 };
  const lossy: typeof fetch = async (...asked) => {
    const answer = await fetch(...asked);
    if ((asked[0] as Request).method === "POST" && network.loses-- > 0) throw new Error("lost");
    return answer;
  };
  const tokens = { read: async () => ({ access_token: TOKEN }) as TokenPair, write: async () => {} };
  const sleep = async () => {};
  const cymba = createCymba({ baseUrl, tokens, fetch: lossy, sleep });
  return { ...(await makePhone(name, cymba, seen, (one) => asides.push(one))), asides, network };
}

const one = await phone("one");
const other = await phone("other");
const agree = async () => {
  for (const each of [one, other, one, other]) await each.sync();
  const [left, right] = [await one.entries(), await other.entries()];
  assert.deepEqual(left, right);
  return left;
};

// Made on one, seen on the other; the answer of the push is lost on its way.
const id = crypto.randomUUID();
await one.write(id, { ...FELT, note: "a", items: { pain_now: 3, mood: 5 } });
one.network.loses = 1;
assert.deepEqual((await agree()).map(({ note, items }) => [note, items]), [["a", { pain_now: 3, mood: 5 }]]);

// Different fields merge, and different items too.
await one.write(id, { note: "b" });
await other.write(id, { items: { pain_now: 4, mood: 5 } });
await one.sync();
await other.sync(); // what the server merged is in its answer
assert.deepEqual((await other.entries()).map(({ version, note }) => [version, note]), [[3, "b"]]);
assert.deepEqual((await agree()).map(({ note, items }) => [note, items]), [["b", { pain_now: 4, mood: 5 }]]);
assert.deepEqual([one.asides, other.asides], [[], []]);

// An own edit on top of one that was just pushed is no conflict.
await one.write(id, { note: "c" });
await one.sync();
await one.write(id, { note: "d" });
await one.sync();
assert.deepEqual(one.asides, []);
await agree();

// The same field on both: whoever comes later is told, also if they had pulled in between.
await one.write(id, { note: "mine" });
await other.write(id, { note: "theirs" });
await one.sync();
assert.deepEqual((await agree()).map(({ note }) => note), ["mine"]);
assert.deepEqual(one.asides, []);
assert.deepEqual(other.asides.map(({ edit, status, now }) => [edit.fields, status, now?.["note"]]), [[{ note: "theirs" }, "conflict", "mine"]]);

// What does not fit is set aside, and the copy is as before.
await one.write(id, { items: { pain_now: 4, mood: 50 } });
assert.deepEqual((await agree()).map(({ items }) => items), [{ pain_now: 4, mood: 5 }]);
assert.deepEqual(one.asides.map(({ status }) => status), ["rejected"]);

// A deletion reaches the other; one of what the other has edited does not.
const kept = crypto.randomUUID();
await one.write(kept, { ...FELT, note: "keep", items: {} });
await agree();
await one.write(kept, { note: "edited" });
await one.sync();
await other.remove(kept);
await other.remove(id);
assert.deepEqual((await agree()).map((entry) => [entry.id, entry["note"]]), [[kept, "edited"]]);
assert.equal(other.asides.length, 2);
console.log("agreed");
process.exit(0);
