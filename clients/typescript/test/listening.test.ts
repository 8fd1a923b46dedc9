/** Pulling when told: what is sent when the stream comes back, and what is not forgotten. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Open, pullWhenTold, SyncFault } from "../src/offline/index.ts";

const stream = (...ids: string[]) =>
  new Response(ids.map((id) => `event: changed\nid: ${id}\ndata: {}\n\n`).join("") + ": still here\n\n");
const problem = (status: number) =>
  new Response(JSON.stringify({ type: "x", title: "", status, detail: "", errors: [], request_id: "" }), { status });

/** Opens the streams in turn, then ends it all; gives the places that were asked for. */
async function listen(answers: (Response | null)[], pulls: boolean[] = []) {
  const asked: unknown[] = [];
  const end = new AbortController();
  let pulled = 0;
  const open: Open = async (place) => {
    asked.push(place);
    if (asked.length > answers.length) end.abort();
    return answers[asked.length - 1] ?? null;
  };
  const engine = { cursor: async () => "c", pull: async () => pulls[pulled++] ?? true };
  await pullWhenTold(engine, open, { signal: end.signal, sleep: async () => {} });
  return { asked, pulled };
}

test("it comes back with the last event, and pulls once for each", async () => {
  const { asked, pulled } = await listen([stream("a", "b"), null, stream("c")]);
  assert.equal(pulled, 3);
  assert.deepEqual(asked.slice(1), [
    { after: "c", lastId: "b" },
    { after: "c", lastId: "b" },
    { after: "c", lastId: "c" },
  ]);
});

test("what could not be pulled is asked for again", async () => {
  const { asked } = await listen([stream("a", "b"), stream("b")], [true, false]);
  assert.deepEqual(asked[1], { after: "c", lastId: "a" });
});

test("a place that is not this account's is left out", async () => {
  const { asked } = await listen([stream("a"), problem(422), stream("b")]);
  assert.deepEqual(asked.slice(2), [{}, { after: "c", lastId: "b" }]);
});

test("a busy server is waited for, and a refusal is told", async () => {
  const { asked } = await listen([problem(503), problem(429), stream("a")]);
  assert.equal(asked.length, 4);
  await assert.rejects(listen([problem(403)]), SyncFault);
  await assert.rejects(listen([problem(422), problem(422)]), SyncFault);
});

test("it ends at once, also while it waits to come back", async () => {
  const end = new AbortController();
  const engine = { cursor: async () => "c", pull: async () => true };
  const sleep = async () => {
    end.abort();
    await new Promise(() => {});
  };
  await pullWhenTold(engine, async () => null, { signal: end.signal, sleep });
});
