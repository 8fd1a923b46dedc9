/** An entry as the form holds it, until it is saved. Only what was changed is written. */

import { type Signal, signal } from "@preact/signals";
import type { Fields } from "@cymba/client/offline";
import type { Account } from "../../data/account.ts";
import { here, momentOf, wallClock } from "../../shell/format.ts";

export type Items = Record<string, unknown>;

export class Draft {
  readonly id: string;
  readonly isNew: boolean;
  readonly zone: string;
  readonly wall: Signal<string>;
  readonly note: Signal<string>;
  readonly items: Signal<Items>;
  readonly #before: Fields;
  readonly #wallBefore: string;

  constructor(id: string, before: Fields | null) {
    this.id = id;
    this.isNew = before === null;
    this.#before = before ?? {};
    this.zone = String(this.#before["time_zone"] ?? here);
    const felt_at = this.#before["felt_at"] as string | undefined;
    this.#wallBefore = wallClock(felt_at ?? new Date(), this.zone);
    this.wall = signal(this.#wallBefore);
    this.note = signal((this.#before["note"] as string | null | undefined) ?? "");
    this.items = signal({ ...(this.#before["items"] as Items | undefined) });
  }

  /** A value, or nothing of that name. */
  set(name: string, value: unknown): void {
    const { [name]: _, ...others } = this.items.value;
    this.items.value = value === undefined || value === null ? others : { ...others, [name]: value };
  }

  get felt(): Date | null {
    // To the second where the person left the time alone; the form shows minutes.
    if (this.wall.value === this.#wallBefore) return new Date((this.#before["felt_at"] as string) ?? Date.now());
    return momentOf(this.wall.value, this.zone);
  }

  /** What the person changed; null where that is nothing. */
  changes(): Fields | null {
    const changed: Fields = {};
    if (this.isNew) changed["time_zone"] = this.zone;
    if (this.isNew || this.wall.value !== this.#wallBefore) changed["felt_at"] = this.felt?.toISOString();
    const noteBefore = (this.#before["note"] as string | null | undefined) ?? "";
    if (this.note.value.trim() !== noteBefore) changed["note"] = this.note.value.trim() || null;
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
