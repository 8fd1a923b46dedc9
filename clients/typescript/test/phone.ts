/**
 * The offline engine as a phone that another program drives, by JSON lines on stdin and stdout.
 *
 * A command is answered by `{"done": …}` with the phone's whole state. While it runs, the phone may
 * ask for requests: `{"send": [method, path, body]}`, answered by `{"answer": {status, body}}` or
 * `{"answer": null}`. `{"do": "cut", "after": n, "kept": true}` ends the power at the n-th
 * transaction from then on, after or before it was kept; the phone then starts again on its store.
 */

import { createInterface } from "node:readline";
import { MemoryStore, OfflineEngine, type Send, type Store } from "../src/offline/index.ts";

class PowerLoss extends Error {}

class Flash implements Store {
  readonly #kept = new MemoryStore();
  #left = Number.POSITIVE_INFINITY;
  #keptAtTheEnd = false;
  /** While the other program looks at the phone, its battery lasts. */
  isWatched = false;

  cut(after: number, kept: boolean): void {
    this.#left = after;
    this.#keptAtTheEnd = kept;
  }

  async transact<T>(work: Parameters<Store["transact"]>[0]): Promise<T> {
    if (!this.isWatched) this.#left -= 1;
    if (this.isWatched || this.#left > 0) return (await this.#kept.transact(work)) as T;
    this.#left = Number.POSITIVE_INFINITY;
    await this.#kept
      .transact(async (transaction) => {
        await work(transaction);
        if (!this.#keptAtTheEnd) throw new PowerLoss();
      })
      .catch((error: unknown) => {
        if (!(error instanceof PowerLoss)) throw error;
      });
    throw new PowerLoss();
  }
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const read = async () => JSON.parse((await lines.next()).value as string);
const write = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`);

const send: Send = async (method, path, body) => {
  write({ send: [method, path, body ?? null] });
  return (await read()).answer;
};

let flash = new Flash();
let engine = new OfflineEngine(flash, send);

async function run(command: any): Promise<unknown> {
  switch (command.do) {
    case "reset":
      flash = new Flash();
      engine = new OfflineEngine(flash, send);
      return null;
    case "cut":
      flash.cut(command.after, command.kept);
      return null;
    case "edit":
      return await engine.edit(command.kind, command.entity_id, command.changes);
    case "sync":
      return await engine.sync();
    case "push":
      return await engine.push({ size: command.size });
    case "pull":
      return await engine.pull({ limit: command.limit });
    case "shown":
      return await engine.shown(command.kind, command.entity_id);
    default:
      throw new Error(`no command ${command.do}`);
  }
}

for (;;) {
  const next = await lines.next();
  if (next.done) break;
  let result: unknown = null;
  let lost = false;
  try {
    result = await run(JSON.parse(next.value));
  } catch (error) {
    if (!(error instanceof PowerLoss)) throw error;
    lost = true;
    engine = new OfflineEngine(flash, send);
  }
  flash.isWatched = true;
  write({
    done: {
      result,
      lost,
      mirror: [
        ...(await engine.mirror("diary-entry")),
        ...(await engine.mirror("reminder")),
        ...(await engine.mirror("session")),
        ...(await engine.mirror("remark")),
      ],
      queue: await engine.queue(),
      aside: await engine.aside(),
    },
  });
  flash.isWatched = false;
}
