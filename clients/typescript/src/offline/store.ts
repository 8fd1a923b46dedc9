/**
 * Where the engine keeps its copy: four tables of values by key, changed in transactions.
 *
 * A transaction is kept whole or not at all, also where the power goes. Work inside of one awaits
 * the transaction alone: IndexedDB ends a transaction that waits for anything else.
 */

export type Table = "mirror" | "queue" | "aside" | "state";
export const TABLES: readonly Table[] = ["mirror", "queue", "aside", "state"];

export interface Transaction {
  get(table: Table, key: string): Promise<unknown>;
  put(table: Table, key: string, value: unknown): Promise<void>;
  delete(table: Table, key: string): Promise<void>;
  /** All values with their keys, in the order of the keys. */
  list(table: Table): Promise<[string, unknown][]>;
  clear(table: Table): Promise<void>;
}

export interface Store {
  transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T>;
}

/** A store that forgets all when the program ends: for tests, and where nothing may be kept. */
export class MemoryStore implements Store {
  #tables = emptyTables();
  #last: Promise<unknown> = Promise.resolve();

  async transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => this.#run(work));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #run<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const changed = structuredClone(this.#tables);
    const result = await work(transactionOn(changed));
    this.#tables = changed;
    return result;
  }
}

type Tables = Record<Table, Map<string, unknown>>;

function emptyTables(): Tables {
  return { mirror: new Map(), queue: new Map(), aside: new Map(), state: new Map() };
}

function transactionOn(tables: Tables): Transaction {
  return {
    get: async (table, key) => structuredClone(tables[table].get(key)),
    put: async (table, key, value) => void tables[table].set(key, structuredClone(value)),
    delete: async (table, key) => void tables[table].delete(key),
    list: async (table) =>
      [...structuredClone(tables[table])].sort(([one], [other]) => (one < other ? -1 : 1)),
    clear: async (table) => tables[table].clear(),
  };
}
