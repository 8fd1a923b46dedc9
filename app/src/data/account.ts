/**
 * One account on this device: its copy, its queue, and its answers of the API, each in databases
 * under the account's own id. Nothing here reads another's.
 */

import { computed, signal } from "@preact/signals";
import {
  type ClientOptions,
  createCymba,
  type CymbaClient,
  type Problem,
  ProblemError,
  SignedOut,
  signedFetch,
  type TokenPair,
  type TokenStore,
} from "@cymba/client";
import { type Entity, type Fields, type Kind, OfflineEngine, openBy, sendBy } from "@cymba/client/offline";
import { DexieStore } from "@cymba/client/offline/dexie";
import { language } from "../shell/look.ts";
import { AnswersDatabase, device } from "./kept.ts";
import { listenWhileSeen } from "./listening.ts";

/** Whose entries are kept before anybody has signed in on this device. */
export const NOBODY = "nobody";

export type SyncState =
  | { name: "resting" }
  | { name: "working" }
  | { name: "offline" }
  | { name: "signed-out" }
  | { name: "faulty"; problem: ProblemError | Error };

/** An entity as the person sees it. */
export interface Shown {
  id: string;
  fields: Fields;
  /** Whether something of it waits for the network. */
  unsent: boolean;
}

/** The names of an account's databases: its copy, and the answers that are kept. */
export function databasesOf(id: string): [copy: string, answers: string] {
  return [`cymba-${id}`, `cymba-${id}-answers`];
}

const AGAIN_MS = [5_000, 15_000, 60_000, 300_000];
const SOON_MS = 400;
const WHOLE = "whole";
const EVERY_MS = 120_000;

export class Account {
  readonly id: string;
  readonly api: CymbaClient;
  readonly engine: OfflineEngine;
  /** Rises with each change of the copy, in whatever tab. What is shown follows it. */
  readonly version = signal(0);
  readonly syncState = signal<SyncState>({ name: "resting" });
  readonly unsent = signal(0);
  readonly aside = signal(0);
  readonly syncedAt = signal<Date | null>(null);
  /** Whether all was pulled once: before that, what is not in the copy may be on the server. */
  readonly isWhole = signal(false);
  readonly isNobody: boolean;
  readonly signedOut = computed(() => this.syncState.value.name === "signed-out");
  readonly #store: DexieStore;
  readonly #answers: AnswersDatabase;
  readonly #channel: BroadcastChannel;
  readonly #signed: (request: Request) => Promise<Response>;
  #timer: number | undefined;
  /** The sync that waits for its turn; null: none does. */
  #next: Promise<boolean> | null = null;
  #failures = 0;
  #stops: (() => void)[] = [];
  #isStopped = false;

  constructor(id: string) {
    this.id = id;
    this.isNobody = id === NOBODY;
    const [copy, answers] = databasesOf(id);
    const options = clientOptions(tokensOf(id));
    this.#signed = signedFetch(options);
    this.api = createCymba(options);
    this.#store = new DexieStore(copy);
    this.engine = new OfflineEngine(this.#store, sendBy(options.baseUrl, this.#signed));
    this.#answers = new AnswersDatabase(answers);
    this.#channel = new BroadcastChannel(copy);
  }

  /** Follow the network, the server, other tabs and the clock, until `stop`. */
  async start(): Promise<void> {
    this.#channel.onmessage = () => void this.#changed({ told: true });
    const now = () => void this.sync();
    const seen = () => {
      if (document.visibilityState === "visible") now();
    };
    addEventListener("online", now);
    document.addEventListener("visibilitychange", seen);
    const clock = setInterval(seen, EVERY_MS);
    this.#stops = [
      () => removeEventListener("online", now),
      () => document.removeEventListener("visibilitychange", seen),
      () => clearInterval(clock),
      () => clearTimeout(this.#timer),
    ];
    this.isWhole.value = this.isNobody || (await this.kept(WHOLE)) !== null;
    await this.#changed({ told: true });
    if (this.isNobody) return;
    now();
    this.#stops.push(this.#listen());
  }

  #listen(): () => void {
    const pull = async () => {
      const isDone = await this.sync();
      const state = this.syncState.peek();
      if (state.name === "faulty") throw state.problem; // which asking again would not mend
      return isDone;
    };
    const engine = { cursor: () => this.engine.cursor(), pull };
    const open = (signal: AbortSignal) => openBy(location.origin, this.#signed, signal);
    return listenWhileSeen(`cymba-live-${this.id}`, engine, open);
  }

  stop(): void {
    this.#isStopped = true;
    for (const one of this.#stops.splice(0)) one();
    this.#channel.close();
    this.#store.close();
    this.#answers.close();
  }

  /** Forget all of it on this device. */
  async wipe(): Promise<void> {
    this.stop();
    await navigator.locks.request(this.#syncLock, () => undefined); // until what is under way ends
    await this.#store.wipe();
    await this.#answers.delete();
  }

  /**
   * Write into the copy; the network gets it when there is one. `seen`: the version that a form was
   * opened with, so that what came meanwhile is not written over unseen.
   */
  async edit(kind: Kind, id: string, changes: Fields | null, seen?: number): Promise<void> {
    await this.engine.edit(kind, id, changes, { seen });
    await this.#changed();
    this.#syncIn(SOON_MS);
  }

  /** The person has decided what becomes of something that the server did not take. */
  async decide(operationId: string): Promise<void> {
    await this.engine.decide(operationId);
    await this.#changed();
  }

  /** What the person sees of a kind: the server's copies with the queue on top. */
  async all(kind: Kind): Promise<Shown[]> {
    const queue = await this.engine.queue();
    const waiting = new Set(queue.filter((one) => one.kind === kind).map((one) => one.entity_id));
    const copies = await this.engine.mirror(kind);
    const settled = copies.filter((one) => !waiting.has(one.id));
    const shown: Shown[] = settled.map((one) => ({ id: one.id, fields: one, unsent: false }));
    for (const id of waiting) {
      const fields = await this.engine.shown(kind, id);
      if (fields !== null) shown.push({ id, fields, unsent: true });
    }
    return shown;
  }

  async one(kind: Kind, id: string): Promise<Shown | null> {
    const fields = await this.engine.shown(kind, id);
    if (fields === null) return null;
    const queue = await this.engine.queue();
    return { id, fields, unsent: queue.some((one) => one.entity_id === id) };
  }

  /** What devices, reminders and findings are: copies that are read, and not written. */
  async copies(kind: "device" | "reminder" | "finding" | "session"): Promise<Entity[]> {
    return await this.engine.mirror(kind);
  }

  get #syncLock(): string {
    return `cymba-sync-${this.id}`;
  }

  /**
   * Push and pull: one tab at a time, and once for all who ask while it waits. It waits for a tab
   * that is at it: that one may be closed before it is done.
   *
   * @returns whether all of it was answered.
   */
  async sync(): Promise<boolean> {
    if (this.isNobody) return false;
    clearTimeout(this.#timer);
    return await (this.#next ??= this.#syncInTurn());
  }

  async #syncInTurn(): Promise<boolean> {
    await navigator.locks.request(this.#syncLock, async () => {
      this.#next = null; // who asks from here on may have written something since
      if (this.#isStopped) return;
      if (this.syncState.peek().name !== "faulty") this.syncState.value = { name: "working" };
      this.syncState.value = await this.#syncNow();
    });
    if (this.#isStopped) return false;
    if (this.syncState.peek().name === "resting") await this.#noteWhole();
    await this.#changed();
    const state = this.syncState.peek().name;
    this.#failures = state === "offline" || state === "faulty" ? this.#failures + 1 : 0;
    if (this.#failures > 0) this.#syncIn(AGAIN_MS[this.#failures - 1] ?? AGAIN_MS.at(-1)!);
    else if (state === "resting" && this.unsent.peek() > 0) this.#syncIn(SOON_MS);
    return state === "resting";
  }

  async #noteWhole(): Promise<void> {
    if (this.isWhole.peek()) return;
    this.isWhole.value = true;
    await this.keep(WHOLE, true).catch((error: unknown) => {
      if (!this.#isStopped) throw error; // else it was left meanwhile
    });
  }

  async #syncNow(): Promise<SyncState> {
    try {
      if (!(await this.engine.sync())) return { name: "offline" };
      this.syncedAt.value = new Date();
      return { name: "resting" };
    } catch (error) {
      if (error instanceof SignedOut) return { name: "signed-out" };
      if (error instanceof TypeError) return { name: "offline" };
      return { name: "faulty", problem: error as Error };
    }
  }

  /** An answer that was kept, to be shown until the network gives a newer one. */
  async kept(key: string): Promise<{ body: unknown; readAt: string } | null> {
    return (await this.#answers.answers.get(key)) ?? null;
  }

  async keep(key: string, body: unknown): Promise<string> {
    const readAt = new Date().toISOString();
    await this.#answers.answers.put({ key, body, readAt });
    return readAt;
  }

  async forget(key: string): Promise<void> {
    await this.#answers.answers.delete(key);
  }

  /** `fetch` with the account's token, for pictures, archives and streams. */
  async fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return await this.#signed(new Request(new URL(path, location.origin), init));
  }

  #syncIn(ms: number): void {
    if (this.isNobody) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.sync(), ms) as unknown as number;
  }

  async #changed(options: { told?: boolean } = {}): Promise<void> {
    try {
      this.unsent.value = (await this.engine.queue()).length;
      this.aside.value = (await this.engine.aside()).length;
    } catch (error) {
      if (this.#isStopped) return; // it was left meanwhile, and its databases are closed
      throw error;
    }
    this.version.value++;
    if (!options.told) this.#channel.postMessage("changed");
  }
}

/** Why an answer of `Account.fetch` is no success. */
export async function problemOf(response: Response): Promise<ProblemError> {
  return new ProblemError((await response.json()) as Problem);
}

/** As the account keeps them on this device, and renews them. */
export function tokensOf(accountId: string): TokenStore {
  return {
    read: async () => (await device.residents.get(accountId))?.tokens ?? null,
    write: async (tokens: TokenPair | null) => {
      await device.residents.update(accountId, { tokens });
    },
  };
}

/** As given, and never renewed; null asks without any. */
export function fixedTokens(pair: TokenPair | null): TokenStore {
  return { read: async () => pair, write: async () => undefined };
}

/** Of a client of the server that the app came from, in the app's language. */
export function clientOptions(tokens: TokenStore): ClientOptions {
  return { baseUrl: location.origin, tokens, language: () => language.value };
}
