/**
 * An app's whole life against a running server, from sign-up to erasure, through the client alone.
 *
 * Told by the environment: BASE, EMAIL, CODE (of the sign-up's mail), SERIAL and CLAIM of a device.
 */

import assert from "node:assert/strict";
import {
  confirm,
  createCymba,
  dataOf,
  ProblemError,
  requestCode,
  signedFetch,
  SignedOut,
  signIn,
  type TokenPair,
  type TokenStore,
} from "../src/index.ts";
import { MemoryStore, OfflineEngine, openBy, pullWhenTold, sendBy } from "../src/offline/index.ts";

const { BASE: baseUrl = "", EMAIL: email = "", CODE: code = "", SERIAL: serial = "", CLAIM = "" } = process.env;
const password = "correct horse battery staple";

class Tokens implements TokenStore {
  pair: TokenPair | null = null;
  read = async () => this.pair;
  write = async (given: TokenPair | null) => void (this.pair = given);
}

const tokens = new Tokens();
const options = { baseUrl, tokens };
const cymba = createCymba(options);
const phone = () => new OfflineEngine(new MemoryStore(), sendBy(baseUrl, signedFetch(options)));

// Sign-up, by a code from the mailbox.
const person = { email, password, time_zone: "Europe/Berlin", locale: "de-DE" };
await requestCode(cymba, person);
await confirm(cymba, person, code);
let known: string | null = null;
const keyStore = { read: async () => known, write: async (given: string) => void (known = given) };
await signIn(cymba, { email, password }, { tokens, device: keyStore });
assert.notEqual(known, null); // with which it signs in again
await signIn(cymba, { email, password }, { tokens, device: keyStore });
assert.ok(tokens.pair);

// Consent, to the very text that was read.
for (const purpose of dataOf(await cymba.GET("/v1/consents")).purposes) {
  const params = { path: { purpose: purpose.name } };
  dataOf(await cymba.POST("/v1/consents/{purpose}", { params, body: { text_version: purpose.text_version } }));
}

// A device, claimed twice: the first answer may have been lost.
for (const status of [201, 200]) {
  const claim = await cymba.POST("/v1/devices/claim", { body: { serial, code: CLAIM } });
  assert.equal(claim.response.status, status);
}
const [device] = dataOf(await cymba.GET("/v1/devices")).items;
assert.ok(device);

// A day offline, then two phones that agree.
const [one, other] = [phone(), phone()];
const entry = crypto.randomUUID();
const felt = { felt_at: "2026-03-01T07:30:00.000000Z", time_zone: "Europe/Berlin" };
await one.edit("diary-entry", entry, { ...felt, items: { pain_now: 6 } });
await one.edit("diary-entry", entry, { note: "nachts" });
assert.ok(await one.sync());
assert.ok(await other.sync());
assert.deepEqual(await other.mirror("diary-entry"), await one.mirror("diary-entry"));
await one.edit("diary-entry", entry, { items: { pain_now: 3 } });
await other.edit("diary-entry", entry, { items: { pain_now: 8 } });
assert.ok(await one.sync());
assert.ok(await other.sync());
assert.deepEqual((await other.aside()).map((set) => set.conflict?.conflicting), [["items.pain_now"]]);

// Told of a change, the other pulls; a partial copy has its kinds alone.
const end = new AbortController();
const signed = signedFetch(options);
const told = pullWhenTold(other, openBy(baseUrl, signed, end.signal), { signal: end.signal, sleep: async () => {} });
const reminder = crypto.randomUUID();
const morning = { title: "Morgens", local_times: ["08:00"], weekdays: [1, 2], items: ["mood"] };
await one.edit("reminder", reminder, morning);
assert.deepEqual((await one.shown("reminder", reminder))?.["items"], ["mood"]);
assert.ok(await one.sync());
while ((await other.mirror("reminder")).length === 0) await new Promise((go) => setTimeout(go, 50));
end.abort();
await told;
const partial = new OfflineEngine(new MemoryStore(), sendBy(baseUrl, signed), { kinds: ["reminder"] });
assert.ok(await partial.sync());
assert.equal((await partial.mirror("reminder")).length, 1);
assert.equal((await partial.mirror("diary-entry")).length, 0);

// What was read is what may be changed: a stale version is refused by name.
const read = await cymba.GET("/v1/account");
const etag = read.response.headers.get("ETag") ?? "";
const rename = (name: string) =>
  cymba.PATCH("/v1/account", { params: { header: { "If-Match": etag } }, body: { name } });
assert.equal(dataOf(await rename("Ana")).name, "Ana");
const stale = await rename("Ann").then(dataOf).catch((error: unknown) => error);
assert.ok(stale instanceof ProblemError && stale.code === "stale");

// A share that only reads, and its end.
const expires_at = new Date(Date.now() + 86_400_000).toISOString();
const body = { label: "Dr. Weber", scopes: ["diary" as const], expires_at };
const share = dataOf(await cymba.POST("/v1/shares", { body }));
const shared = createCymba({ baseUrl, tokens: { read: async () => ({ access_token: share.token }) as TokenPair, write: async () => undefined } });
assert.equal(dataOf(await shared.GET("/v1/diary")).items.length, 1);
assert.equal((await shared.GET("/v1/sessions")).response.status, 403);
await cymba.DELETE("/v1/shares/{share_id}", { params: { path: { share_id: share.id } } });
await assert.rejects(shared.GET("/v1/diary"), SignedOut);

// An access token that has ended is refreshed on the way.
const before: TokenPair = tokens.pair;
tokens.pair = { ...before, access_token: "ended" };
assert.equal(dataOf(await cymba.GET("/v1/history", { params: { query: { period: "week" } } })).time_zone, "Europe/Berlin");
assert.notEqual((tokens.pair as TokenPair).refresh_token, before.refresh_token);

// The archive, then the end.
const archive = await signedFetch(options)(new Request(new URL("/v1/account/export", baseUrl)));
const bytes = new Uint8Array(await archive.arrayBuffer());
assert.deepEqual([...bytes.slice(0, 2)], [0x50, 0x4b]);
await cymba.POST("/v1/account/proof", { body: { password } });
const now = (await cymba.GET("/v1/account")).response.headers.get("ETag") ?? "";
const erased = await cymba.DELETE("/v1/account", { params: { header: { "If-Match": now } } });
assert.ok(dataOf(erased).erased.length > 0);
await assert.rejects(cymba.GET("/v1/account"), SignedOut);
assert.equal(tokens.pair, null);
console.log("lived");
