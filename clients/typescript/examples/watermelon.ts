/** Diary entries in WatermelonDB, kept in step with Cymba. */

import { appSchema, type Database, Q, tableSchema } from "@nozbe/watermelondb";
import { sanitizedRaw } from "@nozbe/watermelondb/RawRecord/index.js";
import * as watermelon from "@nozbe/watermelondb/sync/index.js";
import type { CymbaClient } from "../src/index.ts";
import { type Aside, type Edit, type Entry, plain, pull, push, type Seen } from "./steps.ts";

type Answer = Awaited<ReturnType<typeof push>>[number];
const TABLE = "diary_entries";
const CURSOR = "cymba_cursor";

export const SCHEMA = appSchema({
  version: 1,
  tables: [
    tableSchema({
      name: TABLE,
      columns: [
        { name: "version", type: "number" }, // of the server's copy; the app never sets it
        { name: "felt_at", type: "string" },
        { name: "time_zone", type: "string" },
        { name: "session_id", type: "string", isOptional: true },
        { name: "note", type: "string", isOptional: true },
        { name: "items", type: "string" }, // JSON
        { name: "items_before", type: "string" }, // as the server has them, to tell what was edited
      ],
    }),
  ],
});

const rawOf = ({ items, ...entry }: Entry) => {
  const text = JSON.stringify(items ?? {});
  return { ...entry, items: text, items_before: text };
};

/** An edit of the columns that WatermelonDB says have changed. */
function fieldsOf(raw: any): Record<string, unknown> {
  const isNew = raw._status === "created";
  const names = isNew ? ["felt_at", "time_zone", "session_id", "note", "items"] : raw._changed.split(",");
  const fields: Record<string, unknown> = {};
  for (const name of names.filter((one: string) => one !== "items" && one !== "")) {
    if (!isNew || raw[name] !== null) fields[name] = raw[name];
  }
  const [before, now] = [JSON.parse(raw.items_before || "{}"), JSON.parse(raw.items || "{}")];
  const items = [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter((item) => JSON.stringify(before[item]) !== JSON.stringify(now[item]))
    .map((item) => [item, now[item] ?? null]);
  return items.length > 0 ? { ...fields, items: Object.fromEntries(items) } : fields;
}

async function read(cymba: CymbaClient, entry_id: string): Promise<Answer["entry"]> {
  const { data } = await cymba.GET("/v1/diary/{entry_id}", { params: { path: { entry_id } } });
  return data ?? null;
}

export async function synchronize(
  database: Database,
  cymba: CymbaClient,
  seen: Seen,
  onAside: (aside: Aside) => void,
): Promise<void> {
  const table = database.get(TABLE);
  const settled: [Edit, Answer][] = [];
  const raws = async (...where: any[]) =>
    (await table.query(...where).fetch()).map((one) => one._raw as any);
  await watermelon.synchronize({
    database,
    sendCreatedAsUpdated: true,
    pullChanges: async ({ lastPulledAt }) => {
      const edited = (await raws(Q.where("_status", Q.notEq("synced")))).map(({ id }) => id);
      const deleted = await (database.adapter as any).getDeletedRecords(TABLE);
      const dirty = new Set([...edited, ...deleted]);
      const before = ((await database.localStorage.get(CURSOR)) as string | null) ?? undefined;
      const here = async () => (await raws()) as Entry[];
      const page = await pull(cymba, before, Number.POSITIVE_INFINITY, here);
      // Of what was edited the version beneath the edit counts, until the server has answered it.
      for (const { id, version } of page.entries) if (!dirty.has(id)) await seen.put(id, version);
      await database.localStorage.set(CURSOR, page.cursor);
      const changes = { created: [], updated: page.entries.map(rawOf), deleted: page.gone };
      return { changes: { [TABLE]: changes } as any, timestamp: (lastPulledAt ?? 0) + 1 };
    },
    // What was edited here stays as it is, and is pushed on the version beneath it.
    conflictResolver: (_table, local, _remote, resolved) =>
      (local as any)._status === "synced" ? resolved : local,
    pushChanges: async ({ changes }) => {
      const { created = [], updated = [], deleted = [] } = (changes as any)[TABLE] ?? {};
      const written = [...created, ...updated];
      const edits: Edit[] = [
        ...written.map((raw: any) => ({ id: raw.id, base: seen.get(raw.id), fields: fieldsOf(raw) })),
        ...deleted.map((id: string) => ({ id, base: seen.get(id), fields: null })),
      ];
      if (edits.length === 0) return {};
      const answers = await push(cymba, seen, edits);
      for (const [at, answer] of answers.entries()) {
        const edit = edits[at]!;
        // WatermelonDB keeps no copy beneath an edit: the server has it.
        const isBeneath = answer.status === "rejected" && edit.base > 0;
        settled.push([edit, isBeneath ? { ...answer, entry: await read(cymba, edit.id) } : answer]);
      }
      return {};
    },
  });
  await database.write(async () => {
    for (const [edit, answer] of settled) {
      const now = answer.entry === null ? null : plain(answer.entry as Entry);
      const wasTaken = answer.status === "applied" || answer.status === "duplicate";
      if (!wasTaken) onAside({ edit, status: answer.status as Aside["status"], now });
      const [record] = await table.query(Q.where("id", edit.id)).fetch();
      if (now !== null) {
        await seen.put(edit.id, now.version);
        const raw = { ...rawOf(now), _status: "synced", _changed: "" };
        const replace = (one: any) => (one._raw = sanitizedRaw(raw, table.schema));
        if (record === undefined) await table.database.batch(table.prepareCreateFromDirtyRaw(raw));
        else if (record.syncStatus === "synced") await record.update(replace);
      } else if (answer.deleted || (!wasTaken && edit.base === 0)) {
        await record?.destroyPermanently();
      }
    }
  });
}
