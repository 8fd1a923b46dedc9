/** Diary entries in RxDB, kept in step with Cymba. */

import type { RxCollection, WithDeleted } from "rxdb";
import { replicateRxCollection } from "rxdb/plugins/replication";
import type { CymbaClient } from "../src/index.ts";
import { type Aside, changed, type Edit, type Entry, plain, pull, push, type Seen } from "./steps.ts";

export const ENTRY_SCHEMA = {
  version: 0,
  primaryKey: "id",
  type: "object",
  properties: {
    id: { type: "string", maxLength: 36 },
    version: { type: "integer" }, // of the server's copy beneath; the app never sets it
    felt_at: { type: "string" },
    time_zone: { type: "string" },
    session_id: { type: ["string", "null"] },
    note: { type: ["string", "null"] },
    items: { type: "object" },
  },
  required: ["id", "version", "felt_at", "time_zone"],
} as const;

type Doc = WithDeleted<Entry>;
const GONE = { version: 0, felt_at: "", time_zone: "", _deleted: true };

/** For `addCollections`. The server merges; what it did not take has been set aside. */
export const SERVER_DECIDES = {
  isEqual: (one: Doc, other: Doc) =>
    one._deleted === other._deleted &&
    one.version === other.version &&
    Object.keys(changed(one, other)).length === 0,
  resolve: async (met: { realMasterState: Doc }) => met.realMasterState,
};

export function replicate(
  collection: RxCollection<Entry>,
  cymba: CymbaClient,
  seen: Seen,
  onAside: (aside: Aside) => void,
) {
  return replicateRxCollection<Entry, { cursor: string }>({
    collection,
    replicationIdentifier: "cymba-diary",
    live: false,
    pull: {
      // RxDB leaves alone what was edited since: its edit is pushed on the copy beneath it.
      handler: async (place, limit) => {
        const here = async () => (await collection.find().exec()).map((one) => one.toMutableJSON());
        const { entries, gone, cursor } = await pull(cymba, place?.cursor, limit, here);
        const deleted = gone.map((id): Doc => ({ ...GONE, id }));
        const there = entries.map((entry): Doc => ({ ...entry, _deleted: false }));
        return { documents: [...there, ...deleted], checkpoint: { cursor } };
      },
    },
    push: {
      handler: async (rows) => {
        const edits = rows.map(({ assumedMasterState: old, newDocumentState: mine }): Edit => ({
          id: mine.id,
          base: Math.max(mine.version, seen.get(mine.id)),
          fields: mine._deleted ? null : changed(old, mine),
        }));
        const standing: Doc[] = [];
        for (const [at, answer] of (await push(cymba, seen, edits)).entries()) {
          const edit = edits[at]!;
          const now = answer.entry === null ? null : plain(answer.entry as Entry);
          if (answer.status === "conflict" || answer.status === "rejected") {
            onAside({ edit, status: answer.status, now });
          } else if (edit.fields === null && now === null) {
            continue; // gone here and there
          }
          // Also what it took, since it may have merged: RxDB passes over what a pull brings of an
          // entry while that is pushed.
          const stands = now ?? (answer.deleted ? undefined : rows[at]!.assumedMasterState);
          standing.push({ ...GONE, id: edit.id, ...(stands && { _deleted: false, ...stands }) });
        }
        return standing;
      },
    },
  });
}
