/** A phone that keeps its diary in RxDB: in memory here, in IndexedDB or SQLite in an app. */

import { createRxDatabase } from "rxdb";
import { getRxStorageMemory } from "rxdb/plugins/storage-memory";
import type { MakePhone } from "./life.ts";
import { ENTRY_SCHEMA, replicate, SERVER_DECIDES } from "./rxdb.ts";
import { type Entry, plain } from "./steps.ts";

export const makePhone: MakePhone = async (name, cymba, seen, onAside) => {
  const database = await createRxDatabase({ name, storage: getRxStorageMemory(), multiInstance: false });
  const made = await database.addCollections<any>({
    diary: { schema: ENTRY_SCHEMA, conflictHandler: SERVER_DECIDES },
  });
  const diary = made["diary"]!;
  return {
    write: async (id, fields) => {
      const known = await diary.findOne(id).exec();
      if (known === null) await diary.insert({ id, version: 0, ...fields });
      else await known.incrementalPatch(fields);
    },
    remove: async (id) => void (await (await diary.findOne(id).exec()).remove()),
    sync: async () => {
      const running = replicate(diary, cymba, seen, onAside);
      await running.awaitInitialReplication();
      await running.awaitInSync();
      await running.cancel();
    },
    entries: async () => {
      const all: Entry[] = (await diary.find().exec()).map((one: any) => plain(one.toJSON()));
      return all.sort((one, other) => (one.id < other.id ? -1 : 1));
    },
  };
};
