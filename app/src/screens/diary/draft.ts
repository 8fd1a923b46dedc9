/** An entry as the form holds it, until it is saved. Only what was changed is written. */

import { type Signal, signal } from "@preact/signals";
import type { Fields } from "@cymba/client/offline";
import type { Account } from "../../data/account.ts";
import { here, momentOf, wallClock } from "../../shell/format.ts";

export type Items = Record<string, unknown>;

/** What a form holds, as this device keeps it until it is saved. */
export interface KeptDraft {
  /** The entry as it was when the form was opened; null: it is a new one. */
  before: Fields | null;
  zone: string;
  begun_at: string;
  wall: string;
  note: string;
  items: Items;
}

/** Of the draft of an entry, or of `new`, among what the account keeps. */
export function draftKey(id: string): string {
  return `draft ${id}`;
}

export class Draft {
  readonly id: string;
  readonly isNew: boolean;
  readonly zone: string;
  readonly wall: Signal<string>;
  readonly note: Signal<string>;
  readonly items: Signal<Items>;
  readonly #before: Fields;
  readonly #begun_at: string;
  readonly #wallBefore: string;

  /** `kept`: what was written before the app was closed; else it begins with the entry. */
  constructor(id: string, entry: Fields | null, kept: KeptDraft | null) {
    this.id = id;
    const before = kept === null ? entry : kept.before;
    this.isNew = before === null;
    this.#before = before ?? {};
    this.#begun_at = kept?.begun_at ?? new Date().toISOString();
    this.zone = kept?.zone ?? String(this.#before["time_zone"] ?? here);
    this.#wallBefore = wallClock(this.#feltBefore, this.zone);
    this.wall = signal(kept?.wall ?? this.#wallBefore);
    this.note = signal(kept?.note ?? this.#noteBefore);
    this.items = signal(kept?.items ?? { ...(this.#before["items"] as Items | undefined) });
  }

  get #feltBefore(): string {
    return (this.#before["felt_at"] as string | undefined) ?? this.#begun_at;
  }

  get #noteBefore(): string {
    return (this.#before["note"] as string | null | undefined) ?? "";
  }

  toKeep(): KeptDraft {
    return {
      before: this.isNew ? null : this.#before,
      zone: this.zone,
      begun_at: this.#begun_at,
      wall: this.wall.value,
      note: this.note.value,
      items: this.items.value,
    };
  }

  /** A value, or nothing of that name. */
  set(name: string, value: unknown): void {
    const { [name]: _, ...others } = this.items.value;
    this.items.value = value === undefined || value === null ? others : { ...others, [name]: value };
  }

  get felt(): Date | null {
    // To the second where the person left the time alone; the form shows minutes.
    if (this.wall.value === this.#wallBefore) return new Date(this.#feltBefore);
    return momentOf(this.wall.value, this.zone);
  }

  /** What the person changed; null where that is nothing. */
  changes(): Fields | null {
    const changed: Fields = {};
    if (this.isNew) changed["time_zone"] = this.zone;
    if (this.isNew || this.wall.value !== this.#wallBefore) changed["felt_at"] = this.felt?.toISOString();
    if (this.note.value.trim() !== this.#noteBefore) changed["note"] = this.note.value.trim() || null;
    const before = (this.#before["items"] as Items | undefined) ?? {};
    const now = this.items.value;
    const names = new Set([...Object.keys(before), ...Object.keys(now)]);
    const items = [...names]
      .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name]))
      .map((name) => [name, now[name] ?? null]);
    if (items.length > 0) changed["items"] = Object.fromEntries(items);
    const isAnything = "note" in changed || "items" in changed || (!this.isNew && "felt_at" in changed);
    return isAnything ? changed : null;
  }

  async save(account: Account): Promise<void> {
    const changes = this.changes();
    const seen = this.#before["version"] as number | undefined;
    if (changes !== null) await account.edit("diary-entry", this.id, changes, seen);
  }
}
