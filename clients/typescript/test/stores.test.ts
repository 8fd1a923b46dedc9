import assert from "node:assert/strict";
import { test } from "node:test";
import "fake-indexeddb/auto";
import { DexieStore } from "../src/offline/dexie.ts";
import { MemoryStore, OfflineEngine, type Store } from "../src/offline/index.ts";

const ENTRY = "8f14e45f-ceea-467f-ab8e-1f0e6f2d7c11";
const stores: [string, () => Store][] = [
  ["memory", () => new MemoryStore()],
  ["IndexedDB", () => new DexieStore(`account-${Math.random()}`)],
];

for (const [name, make] of stores) {
  test(`${name} keeps all of a transaction or nothing`, async () => {
    const store = make();
    await store.transact((transaction) => transaction.put("mirror", "a", { n: 1 }));
    await assert.rejects(
      store.transact(async (transaction) => {
        await transaction.put("mirror", "a", { n: 2 });
        await transaction.put("queue", "b", {});
        throw new Error("the power goes");
      }),
    );
    assert.deepEqual(await store.transact((transaction) => transaction.list("mirror")), [["a", { n: 1 }]]);
    assert.deepEqual(await store.transact((transaction) => transaction.list("queue")), []);
  });

  test(`${name} has the queue in the order in which it was made`, async () => {
    const engine = new OfflineEngine(make(), async () => null);
    for (let n = 0; n < 12; n++) await engine.edit("diary-entry", ENTRY, { note: `n${n}` });
    const queue = await engine.queue();
    assert.deepEqual(queue.map(({ fields }) => (fields as { note: string }).note), [...Array(12).keys()].map((n) => `n${n}`));
    assert.equal(await engine.push(), false);
    assert.equal((await engine.queue()).length, 12);
    assert.equal((await engine.shown("diary-entry", ENTRY))?.["note"], "n11");
  });
}

test("two people of one phone never see each other", async () => {
  const [one, other] = [new DexieStore("one"), new DexieStore("other")];
  await one.transact((transaction) => transaction.put("mirror", "a", 1));
  assert.deepEqual(await other.transact((transaction) => transaction.list("mirror")), []);
  await one.wipe();
  const again = new DexieStore("one");
  assert.deepEqual(await again.transact((transaction) => transaction.list("mirror")), []);
});

test("an edit on more than 200 of one's own names those that matter", async () => {
  const engine = new OfflineEngine(new MemoryStore(), async () => null);
  for (let n = 0; n < 205; n++) {
    await engine.edit("diary-entry", ENTRY, n % 2 ? { note: `${n}` } : { items: { pain_now: n % 10 } });
  }
  const ids = (await engine.queue()).map(({ id }) => id);
  const edit = await engine.edit("diary-entry", ENTRY, { note: "last" });
  assert.deepEqual(edit.builds_on, [ids[203]]);
  const deletion = await engine.edit("diary-entry", ENTRY, null);
  assert.deepEqual(new Set(deletion.builds_on), new Set([ids[204], edit.id]));
});
