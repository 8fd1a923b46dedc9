/**
 * The app's copy of an account: mirror, queue and cursor, as docs/mobile-sync.md says.
 *
 * What the person sees is the mirror with the queued operations on top. Each step that changes both
 * is one transaction of the store, so an app that is killed at any moment goes on where it was.
 */

import {
  type Answer,
  builtOn,
  type Entity,
  type Fields,
  type Kind,
  lostOf,
  type Operation,
  type Page,
  type SetAside,
  withQueued,
} from "./operations.ts";
import { codeOf, type Problem } from "../problems.ts";
import type { Store, Transaction } from "./store.ts";

/** Sends a request; null where no answer came. */
export type Send = (
  method: "GET" | "POST",
  path: string,
  body?: unknown,
) => Promise<{ status: number; body: unknown } | null>;

const MOST_OPERATIONS = 200;
const MOST_BYTES = 2_097_152;
const LISTS = {
  sessions: "session",
  diary_entries: "diary-entry",
  devices: "device",
  reminders: "reminder",
  remarks: "remark",
  findings: "finding",
  experiments: "experiment",
  consents: "consent",
  screenings: "screening",
  red_flags: "red-flag",
} as const satisfies Partial<Record<keyof Page, string>>;

export type MirrorKind = (typeof LISTS)[keyof typeof LISTS];

/** Of the app's doing or the server's state: no later try of the same request helps. */
export class SyncFault extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(`The server answers ${status}: ${problem.detail}`);
    this.name = "SyncFault";
    this.status = status;
    this.problem = problem;
  }
}

export class OfflineEngine {
  readonly #store: Store;
  readonly #send: Send;
  readonly #newId: () => string;
  readonly #kinds: string | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** `kinds`: only these are kept; all if absent. With others than before all is read anew. */
  constructor(store: Store, send: Send, options: { kinds?: MirrorKind[]; newId?: () => string } = {}) {
    this.#store = store;
    this.#send = send;
    this.#newId = options.newId ?? (() => globalThis.crypto.randomUUID());
    this.#kinds = options.kinds === undefined ? undefined : [...options.kinds].sort().join(",");
  }

  /** Where the feed was read up to; undefined before the first pull. */
  async cursor(): Promise<string | undefined> {
    return await this.#store.transact(cursorOf);
  }

  /**
   * Queue the changed fields of an entity, or with null its deletion. It needs no network.
   *
   * `seen`: the version that the person had before them, where a form was open while the app pulled.
   */
  async edit(
    kind: Kind,
    entityId: string,
    changes: Fields | null,
    options: { seen?: number | undefined } = {},
  ): Promise<Operation> {
    return await this.#store.transact(async (transaction) => {
      const copy = (await transaction.get("mirror", key(kind, entityId))) as Entity | undefined;
      const queued = await queuedFor(transaction, entityId);
      const operation = {
        id: this.#newId(),
        kind,
        action: changes === null ? "delete" : "put",
        entity_id: entityId,
        base_version: options.seen ?? copy?.version ?? 0,
        builds_on: builtOn(queued, changes),
        fields: changes ?? {},
      } as Operation;
      const number = ((await transaction.get("state", "made")) as number | undefined) ?? 0;
      await transaction.put("state", "made", number + 1);
      await transaction.put("queue", place(number), operation);
      return operation;
    });
  }

  /** What the person sees of an entity: the server's copy with the queue on top; null for none. */
  async shown(kind: Kind, entityId: string): Promise<Fields | null> {
    return await this.#store.transact(async (transaction) => {
      const copy = (await transaction.get("mirror", key(kind, entityId))) as Entity | undefined;
      return withQueued(copy ?? null, await queuedFor(transaction, entityId));
    });
  }

  /** The server's copies of a kind, without the queue. */
  async mirror(kind: MirrorKind): Promise<Entity[]> {
    const all = await this.#store.transact((transaction) => transaction.list("mirror"));
    return all.filter(([at]) => at.startsWith(`${kind}/`)).map(([, entity]) => entity as Entity);
  }

  /** The operations that wait for the network, in the order in which they were made. */
  async queue(): Promise<Operation[]> {
    return await this.#store.transact(async (transaction) => (await queueOf(transaction)).map(second));
  }

  /** What the server did not take, for the person to decide on. */
  async aside(): Promise<SetAside[]> {
    const all = await this.#store.transact((transaction) => transaction.list("aside"));
    return all.map(([, one]) => one as SetAside);
  }

  /** The person has decided: forget what was set aside. A new edit says what they want. */
  async decide(operationId: string): Promise<void> {
    await this.#store.transact((transaction) => transaction.delete("aside", operationId));
  }

  /**
   * Pull, push, and pull what that has changed. What the server lost by a restore is known after
   * the first pull, and goes back before what was edited on top of it.
   *
   * @returns whether all of it was answered; else try again later.
   */
  async sync(): Promise<boolean> {
    let isRead = false;
    let hasWritten = false;
    let isSent = false;
    try {
      isRead = await this.pull();
    } finally {
      // What the person wrote leaves, also while the feed cannot be read.
      hasWritten = (await this.queue()).length > 0;
      isSent = await this.push();
    }
    return isRead && isSent && (!hasWritten || (await this.pull()));
  }

  /**
   * Send the queue.
   *
   * @returns false where the server could not be asked, or the pull after a restore has not ended;
   * then try again later.
   */
  async push(options: { size?: number } = {}): Promise<boolean> {
    return await this.#alone(async () => {
      if ((await this.#store.transact((transaction) => transaction.get("state", "held"))) !== undefined) return false;
      const usual = options.size ?? MOST_OPERATIONS;
      let size = usual;
      for (;;) {
        const waiting = await this.#store.transact(queueOf);
        if (waiting.length === 0) return true;
        const batch = fitting(waiting, size);
        const operations = batch.map(second);
        const answer = await this.#send("POST", "/v1/sync", { operations });
        if (answer === null || isPassing(answer.status)) return false;
        if (answer.status === 200) {
          await this.#settle(batch, (answer.body as { answers: Answer[] }).answers);
          size = usual;
        } else if (batch.length > 1) {
          size = Math.floor(batch.length / 2);
        } else {
          await this.#reject(batch[0]!, answer.body as Problem);
          size = usual;
        }
      }
    });
  }

  /**
   * Read the changes since the last pull.
   *
   * @returns false where the server could not be asked; then try again later.
   * @throws SyncFault for an answer that a client of this version does not expect.
   */
  async pull(options: { limit?: number } = {}): Promise<boolean> {
    return await this.#alone(async () => {
      for (;;) {
        const cursor = await this.#store.transact(async (transaction) => {
          // A cursor of all says nothing by itself of the kinds that are wanted now.
          if ((await transaction.get("state", "kinds")) !== this.#kinds) {
            await transaction.delete("state", "cursor");
          }
          return await cursorOf(transaction);
        });
        const query = new URLSearchParams({ limit: String(options.limit ?? 200) });
        if (cursor !== undefined) query.set("cursor", cursor);
        if (this.#kinds !== undefined) query.set("kinds", this.#kinds);
        const answer = await this.#send("GET", `/v1/sync?${query}`);
        if (answer === null || isPassing(answer.status)) return false;
        if ((answer.status === 410 || answer.status === 422) && cursor !== undefined) {
          const isRestored = codeOf(answer.body as Problem) === "restored";
          await this.#store.transact(async (transaction) => {
            if (isRestored && (await transaction.get("state", "held")) === undefined) {
              await transaction.put("state", "held", await transaction.list("mirror"));
            }
            await transaction.delete("state", "cursor");
          });
          continue;
        }
        if (answer.status !== 200) throw new SyncFault(answer.status, answer.body as Problem);
        const page = answer.body as Page;
        await this.#keep(page, cursor);
        if (!page.more) return true;
      }
    });
  }

  async #settle(batch: [string, Operation][], answers: Answer[]): Promise<void> {
    await this.#store.transact(async (transaction) => {
      for (const [at, [where, operation]] of batch.entries()) {
        const answer = answers[at]!;
        await transaction.delete("queue", where);
        const entity = (answer.entry ??
          answer.session ??
          answer.remark ??
          answer.reminder) as Entity | null;
        if (entity !== null) await learn(transaction, operation.kind, entity);
        if (answer.deleted) {
          await transaction.delete("mirror", key(operation.kind, operation.entity_id));
        }
        const { deleted, conflicting } = answer;
        if (answer.status === "conflict") {
          const conflict = { entity, deleted, conflicting };
          await setAside(transaction, { operation, conflict });
        } else if (answer.status === "rejected") {
          await setAside(transaction, { operation, problem: answer.problem as Problem });
        }
      }
    });
  }

  async #reject([where, operation]: [string, Operation], problem: Problem): Promise<void> {
    await this.#store.transact(async (transaction) => {
      await transaction.delete("queue", where);
      await setAside(transaction, { operation, problem });
    });
  }

  async #keep(page: Page, read: string | undefined): Promise<void> {
    await this.#store.transact(async (transaction) => {
      if ((await cursorOf(transaction)) !== read) return; // another tab has read on meanwhile
      if (read === undefined) await transaction.clear("mirror");
      for (const [list, kind] of Object.entries(LISTS)) {
        const entities = (page[list as keyof Page] ?? []) as unknown as Entity[];
        for (const entity of entities) await learn(transaction, kind, entity);
      }
      for (const stone of page.tombstones) {
        await transaction.delete("mirror", key(stone.kind, stone.id));
      }
      if (!page.more) await this.#giveBack(transaction);
      await transaction.put("state", "cursor", page.next_cursor);
      if (this.#kinds === undefined) await transaction.delete("state", "kinds");
      else await transaction.put("state", "kinds", this.#kinds);
    });
  }

  /** Queue what the server has lost by a restore, before what was edited on top of it. */
  async #giveBack(transaction: Transaction): Promise<void> {
    const held = ((await transaction.get("state", "held")) ?? []) as [string, Entity][];
    for (const [at, ours] of held) {
      const kind = at.split("/")[0] as Kind;
      const theirs = (await transaction.get("mirror", at)) as Entity | undefined;
      const fields = lostOf(kind, ours, theirs);
      if (fields === null) continue;
      const operation = {
        id: this.#newId(),
        kind,
        action: "put",
        entity_id: ours.id,
        base_version: theirs?.version ?? 0,
        builds_on: [],
        fields,
      } as Operation;
      await transaction.put("queue", `!${at}`, operation); // before every number
    }
    await transaction.delete("state", "held");
  }

  /** One push or pull at a time: an answer to an older one must not come last. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return await turn;
  }
}

function key(kind: string, id: string): string {
  return `${kind}/${id}`;
}

function place(number: number): string {
  return String(number).padStart(12, "0");
}

function second<T>([, value]: [string, T]): T {
  return value;
}

async function queueOf(transaction: Transaction): Promise<[string, Operation][]> {
  return (await transaction.list("queue")) as [string, Operation][];
}

async function queuedFor(transaction: Transaction, entityId: string): Promise<Operation[]> {
  const queue = (await queueOf(transaction)).map(second);
  return queue.filter((operation) => operation.entity_id === entityId);
}

async function cursorOf(transaction: Transaction): Promise<string | undefined> {
  return (await transaction.get("state", "cursor")) as string | undefined;
}

async function learn(transaction: Transaction, kind: string, entity: Entity): Promise<void> {
  const known = (await transaction.get("mirror", key(kind, entity.id))) as Entity | undefined;
  if (known === undefined || !(known.version > entity.version)) {
    await transaction.put("mirror", key(kind, entity.id), entity);
  }
}

async function setAside(transaction: Transaction, one: SetAside): Promise<void> {
  await transaction.put("aside", one.operation.id, one);
}

function isPassing(status: number): boolean {
  return status >= 500 || status === 401 || status === 403 || status === 429;
}

/** The first operations that fit into one body; always one at least. */
function fitting(waiting: [string, Operation][], most: number): [string, Operation][] {
  const batch: [string, Operation][] = [];
  let bytes = '{"operations":[]}'.length;
  for (const one of waiting.slice(0, most)) {
    bytes += new TextEncoder().encode(JSON.stringify(one[1])).length + 1;
    if (batch.length > 0 && bytes > MOST_BYTES) break;
    batch.push(one);
  }
  return batch;
}
