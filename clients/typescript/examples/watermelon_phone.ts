/** A phone that keeps its diary in WatermelonDB: on LokiJS here, on SQLite in an app. */

import { Database, Model } from "@nozbe/watermelondb";
import LokiAdapter from "@nozbe/watermelondb/adapters/lokijs/index.js";
import type { MakePhone } from "./life.ts";
import { type Entry, plain } from "./steps.ts";
import { SCHEMA, synchronize } from "./watermelon.ts";

class DiaryEntry extends Model {
  static override table = "diary_entries";
}

export const makePhone: MakePhone = async (name, cymba, seen, onAside) => {
  const adapter = new (LokiAdapter as any).default({
    dbName: name,
    schema: SCHEMA,
    useWebWorker: false,
    useIncrementalIndexedDB: true,
    extraLokiOptions: { autosave: false },
  });
  const database = new Database({ adapter, modelClasses: [DiaryEntry] });
  const table = database.get(DiaryEntry.table);
  const set = (record: any, { items, ...fields }: any) => {
    for (const [column, value] of Object.entries(fields)) record._setRaw(column, value);
    if (items !== undefined) record._setRaw("items", JSON.stringify(items));
  };
  return {
    write: (id, fields) =>
      database.write(async () => {
        const known = await table.find(id).catch(() => null);
        if (known !== null) await known.update((record) => set(record, fields));
        else {
          await table.create((record: any) => {
            record._raw.id = id;
            set(record, { ...fields, version: 0, items_before: "{}" });
          });
        }
      }),
    remove: (id) => database.write(async () => await (await table.find(id)).markAsDeleted()),
    sync: () => synchronize(database, cymba, seen, onAside),
    entries: async () => {
      const raws = (await table.query().fetch()).map((one) => one._raw as any);
      const all = raws.map((raw): Entry => plain({ ...raw, items: JSON.parse(raw.items) }));
      return all.sort((one, other) => (one.id < other.id ? -1 : 1));
    },
  };
};
