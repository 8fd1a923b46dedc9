/** What both adapters need: an operation whose retry carries the same id, and pages of the feed. */

import { createHash } from "node:crypto";
import { type CymbaClient, dataOf, ProblemError } from "../src/index.ts";
import type { Operation } from "../src/offline/index.ts";

export type Entry = { id: string; version: number; [field: string]: any };
export type Edit = { id: string; base: number; fields: Record<string, unknown> | null };
/** By entry, the version up to which this app has seen every change. Keep it with the database. */
export type Seen = { get(id: string): number; put(id: string, version: number): Promise<void> };
/** An edit that the server did not take, for the person to decide on, and what is there now. */
export type Aside = { edit: Edit; status: "conflict" | "rejected"; now: Entry | null };

const FIELDS = ["felt_at", "time_zone", "session_id", "note", "items"] as const;

/** What an adapter stores of the server's copy. */
export function plain(entry: Entry): Entry {
  const fields = Object.fromEntries(FIELDS.map((name) => [name, entry[name] ?? null]));
  return { id: entry.id, version: entry.version, ...fields };
}

/** The fields in which an entry differs from another; of its items only those that differ. */
export function changed(from: any, to: any): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const name of FIELDS) {
    if (same(from?.[name] ?? null, to[name] ?? null)) continue;
    if (name !== "items") fields[name] = to[name] ?? null;
    else {
      const [before, after] = [from?.items ?? {}, to.items ?? {}];
      const names = [...new Set([...Object.keys(before), ...Object.keys(after)])].sort();
      const other = names.filter((item) => !same(before[item], after[item]));
      fields["items"] = Object.fromEntries(other.map((item) => [item, after[item] ?? null]));
    }
  }
  return fields;
}

/** Push edits. @returns what the server says, in their order. */
export async function push(cymba: CymbaClient, seen: Seen, edits: Edit[]) {
  const operations = edits.map((edit): Operation => ({
    id: idOf(edit),
    kind: "diary-entry",
    action: edit.fields === null ? "delete" : "put",
    entity_id: edit.id,
    base_version: edit.base,
    fields: edit.fields ?? {},
  }));
  const { answers } = dataOf(await cymba.POST("/v1/sync", { body: { operations } }));
  for (const [at, answer] of answers.entries()) {
    if (answer.version !== null) await seen.put(edits[at]!.id, answer.version);
  }
  return answers;
}

/** At least `limit` changes after a cursor, or all. Where it has expired, all anew: of `here`, what
 * the server gave once and does not bring now is gone. */
export async function pull(
  cymba: CymbaClient,
  cursor: string | undefined,
  limit: number,
  here: () => Promise<Entry[]>,
): Promise<{ entries: Entry[]; gone: string[]; cursor: string }> {
  const [entries, gone]: [Entry[], string[]] = [[], []];
  const isFirst = cursor === undefined;
  for (let place = cursor; ; ) {
    const query = { kinds: "diary-entry", limit: Math.min(limit, 1000), ...(place === undefined ? {} : { cursor: place }) };
    const page = await cymba.GET("/v1/sync", { params: { query } }).then(dataOf).catch((error) => {
      const isStale = error instanceof ProblemError && [410, 422].includes(error.problem.status);
      if (place === undefined || !isStale) throw error;
      return null;
    });
    if (page === null) {
      const all = await pull(cymba, undefined, Number.POSITIVE_INFINITY, here);
      const kept = new Set(all.entries.map(({ id }) => id));
      const lost = (await here()).filter(({ id, version }) => version > 0 && !kept.has(id));
      return { ...all, gone: lost.map(({ id }) => id) };
    }
    entries.push(...(page.diary_entries as Entry[]).map(plain));
    gone.push(...page.tombstones.map(({ id }) => id));
    place = page.next_cursor;
    if (!page.more || (!isFirst && entries.length + gone.length >= limit)) {
      return { entries, gone, cursor: place };
    }
  }
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(sorted(one)) === JSON.stringify(sorted(other));
}

/** With its members in one order: a database need not keep theirs. */
function sorted(value: any): any {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]));
}

/** A UUID of the edit itself: its retry after a lost answer has the same. */
function idOf(edit: Edit): string {
  const hex = createHash("sha256").update(JSON.stringify(sorted(edit))).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
