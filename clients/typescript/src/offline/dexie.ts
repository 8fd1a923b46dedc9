/** A store in the browser's IndexedDB. Each account has a database of its own. */

import { Dexie } from "dexie";
import { type Store, type Table, TABLES, type Transaction } from "./store.ts";

export class DexieStore implements Store {
  readonly #database: Dexie;

  /** `name` must differ for each account: two people of one phone must never see each other. */
  constructor(name: string) {
    this.#database = new Dexie(name);
    this.#database.version(1).stores(Object.fromEntries(TABLES.map((table) => [table, ""])));
  }

  async transact<T>(work: (transaction: Transaction) => Promise<T>): Promise<T> {
    const database = this.#database;
    const table = (name: Table) => database.table<unknown, string>(name);
    return await database.transaction("rw", [...TABLES], async () =>
      await work({
        get: async (name, key) => await table(name).get(key),
        put: async (name, key, value) => void (await table(name).put(value, key)),
        delete: async (name, key) => await table(name).delete(key),
        list: async (name) => {
          const keys = await table(name).toCollection().primaryKeys();
          const values = await table(name).toArray();
          return keys.map((key, at) => [key, values[at]]);
        },
        clear: async (name) => await table(name).clear(),
      }),
    );
  }

  /** Let go of the database, so that another tab can delete it or give it another form. */
  close(): void {
    this.#database.close();
  }

  /** Forget all, when the person signs out for good. */
  async wipe(): Promise<void> {
    await this.#database.delete();
  }
}
