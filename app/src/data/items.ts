/** What the diary asks. It is a part of the build (`ops.app_items`), so it needs no server. */

import built from "../../generated/items.json";
import { language } from "../shell/look.ts";
import type { Schemas } from "./use.ts";

export type Item = Schemas["DiaryItem"];
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

const spoken = built.items as unknown as Record<"en" | "de", Item[]>;

export const ITEMS: readonly Item[] = spoken.en;
export const LABS: Record<string, { unit: string; low: number; high: number }> = built.labs;

/** The items that take a number from 0 to 10. */
export const SCALES = ITEMS.filter(({ value }) => value["type"] === "integer" && value["maximum"] === 10);
export const SIDE_EFFECTS = ITEMS.filter((one) => one.group === "side_effect");

/** In the person's language. A later server may know items that this build does not. */
export function item(name: string): Item | undefined {
  return spoken[language.value].find((one) => one.name === name);
}

export function titleOf(name: string): string {
  return item(name)?.title ?? name.replaceAll("_", " ");
}

/** What can be chosen of an item, with its title. */
export function optionsOf<T extends string = string>(name: string): { value: T; label: string }[] {
  return (item(name)?.options ?? []).map((one) => ({ value: one.name as T, label: one.title }));
}

export function optionTitle(name: string, option: string | number): string {
  return item(name)?.options.find((one) => one.name === String(option))?.title ?? String(option);
}

/** What needs care at once, of the items of an entry. */
export function redFlagsIn(items: Record<string, unknown>): string[] {
  return Object.entries(items)
    .filter(([name, value]) => item(name)?.red_flag && (value as SideEffect).severity !== "none")
    .map(([name]) => name);
}
