/** What an operation is, and what the person sees while some are queued. */

import type { components } from "../../generated/api.ts";
import type { Problem } from "../problems.ts";

export type Operation = components["schemas"]["SyncOperation"];
export type Answer = components["schemas"]["SyncAnswer"];
export type Page = components["schemas"]["SyncPage"];
export type Kind = Operation["kind"];
export type Fields = Record<string, unknown>;

/** An entity as the server gave it. */
export interface Entity {
  id: string;
  version: number;
  [field: string]: unknown;
}

/** An operation that the server did not take, for the person to decide on. */
export interface SetAside {
  operation: Operation;
  /** What is there now, and the fields in question; of a conflict. */
  conflict?: { entity: Entity | null; deleted: boolean; conflicting: string[] };
  /** What was wrong; of a rejection. */
  problem?: Problem;
}

const MOST_BUILT_ON = 200;

/** The fields that are changed, by one name each: a diary entry's items are fields of their own. */
export function fieldNames(fields: Fields): string[] {
  return Object.entries(fields).flatMap(([name, value]) =>
    areItems(name, value) ? Object.keys(value).map((item) => `items.${item}`) : [name],
  );
}

/** Not the `items` of a reminder, which are one list. */
function areItems(name: string, value: unknown): value is Fields {
  return name === "items" && typeof value === "object" && value !== null && !Array.isArray(value);
}

function fieldsOf(operation: Operation): Fields {
  return (operation.fields ?? {}) as Fields;
}

/**
 * The ids of the queued operations that a new one is made on: all of them, or where they are too
 * many, for each field the last that edits it. A deletion edits every field.
 */
export function builtOn(queued: Operation[], fields: Fields | null): string[] {
  if (queued.length <= MOST_BUILT_ON) return queued.map((operation) => operation.id);
  const names = fieldNames(fields ?? {});
  if (fields === null) names.push(...queued.flatMap((one) => fieldNames(fieldsOf(one))));
  const last = new Set<string>();
  for (const name of new Set(names)) {
    const found = queued.findLast(
      (one) => one.action === "delete" || fieldNames(fieldsOf(one)).includes(name),
    );
    if (found !== undefined) last.add(found.id);
  }
  const deletion = queued.findLast((one) => one.action === "delete");
  if (deletion !== undefined) last.add(deletion.id);
  return queued.map((one) => one.id).filter((id) => last.has(id));
}

const WRITTEN: Record<Kind, readonly string[]> = {
  "diary-entry": ["felt_at", "time_zone", "session_id", "note", "items"],
  session: ["note", "excluded"],
  remark: ["what", "said_of", "time_zone", "device_id", "model", "note"],
  reminder: ["title", "local_times", "weekdays", "items", "enabled", "at_usual_hour"],
};

/** What the person has written of an entity. Of a session that no device recorded that is more. */
function writtenOf(kind: Kind, entity: Entity): Fields {
  const own = Object.fromEntries(WRITTEN[kind].map((name) => [name, entity[name] ?? null]));
  if (kind !== "session" || !entity["written"]) return own;
  const { version: _, ...written } = entity["written"] as Fields;
  return { ...own, ...written };
}

/** Of our copy, the fields that the server has lost by a restore; null where it has lost nothing. */
export function lostOf(kind: Kind, ours: Entity, theirs: Entity | undefined): Fields | null {
  if (!(kind in WRITTEN) || (theirs !== undefined && theirs.version >= ours.version)) return null;
  const there = theirs === undefined ? {} : writtenOf(kind, theirs);
  const lost = Object.entries(writtenOf(kind, ours)).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(there[name] ?? null),
  );
  const fields = Object.fromEntries(lost);
  const before = there["items"];
  if (areItems("items", fields["items"]) && areItems("items", before)) {
    const taken = Object.keys(before).map((item) => [item, null]);
    fields["items"] = { ...Object.fromEntries(taken), ...fields["items"] };
  }
  return lost.length === 0 ? null : fields;
}

/** The server's copy with the queued operations on top; null where there is nothing to show. */
export function withQueued(copy: Entity | null, queued: Operation[]): Fields | null {
  let shown: Fields | null = copy === null ? null : structuredClone(copy);
  for (const operation of queued) {
    if (operation.action === "delete") {
      shown = null;
      continue;
    }
    const fields = fieldsOf(operation);
    const before = shown?.["items"];
    shown = { ...shown, id: operation.entity_id, ...fields };
    if (areItems("items", fields["items"])) {
      const items = Object.entries({ ...(before as Fields), ...fields["items"] });
      shown["items"] = Object.fromEntries(items.filter(([, value]) => value !== null));
    }
  }
  return shown;
}
