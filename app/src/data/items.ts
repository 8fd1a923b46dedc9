/** What the diary asks. It is a part of the build (`ops.app_items`), so it needs no server. */

import catalogue from "../../generated/items.json";
import { language } from "../shell/look.ts";

type Titles = Record<"en" | "de", string>;

export interface Item {
  name: string;
  group: "symptom" | "questionnaire" | "side_effect" | "treatment" | "measurement" | "condition" | "cycle";
  unit: string | null;
  worse: "higher" | "lower" | null;
  red_flag: boolean;
  schema: { type: string; minimum?: number; maximum?: number; items?: { enum?: string[] } };
}

export type Severity = "none" | "mild" | "moderate" | "severe";
export interface SideEffect {
  severity: Severity;
  bothersome?: boolean;
}
export interface Taking {
  name: string;
  dose?: string;
}
export interface Lab {
  name: string;
  value: number;
}

type Kept = Omit<Item, "name"> & { title: Titles; note: Titles | null };
const kept = catalogue.items as unknown as Record<string, Kept>;

export const ITEMS: readonly Item[] = Object.entries(kept).map(([name, item]) => ({ name, ...item }));
export const LABS: Record<string, { title: Titles; unit: string; low: number; high: number }> = catalogue.labs;

/** The items that take a number from 0 to 10. */
export const SCALES = ITEMS.filter((one) => one.schema.type === "integer" && one.schema.maximum === 10);
export const SIDE_EFFECTS = ITEMS.filter((one) => one.group === "side_effect");

/** A later server may know items that this build does not. */
export function item(name: string): Item | undefined {
  return ITEMS.find((one) => one.name === name);
}

export function titleOf(name: string): string {
  return kept[name]?.title[language.value] ?? name.replaceAll("_", " ");
}

export function noteOf(name: string): string | null {
  return kept[name]?.note?.[language.value] ?? null;
}

export function conditionTitle(name: string): string {
  const titles = (catalogue.conditions as Record<string, Titles>)[name];
  return titles?.[language.value] ?? name;
}

export function labTitle(name: string): string {
  return LABS[name]?.title[language.value] ?? name;
}

/** What needs care at once, of the items of an entry. */
export function redFlagsIn(items: Record<string, unknown>): string[] {
  return Object.entries(items)
    .filter(([name, value]) => item(name)?.red_flag && (value as SideEffect).severity !== "none")
    .map(([name]) => name);
}
