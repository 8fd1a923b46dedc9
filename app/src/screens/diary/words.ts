/** What an entry says, in words. */

import { item, LABS, type Lab, optionTitle, type SideEffect, type Taking, titleOf } from "../../data/items.ts";
import { number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

/** The value of an item. */
export function valueOf(name: string, value: unknown): string {
  if (value === null || value === undefined) return t("nothing");
  switch (name) {
    case "pgic":
      return optionTitle(name, value as number);
    case "phq4":
      return (value as (number | null)[]).map((one) => (one === null ? "–" : number(one))).join(" · ");
    case "sleep_hours":
      return t("{n} h", { n: number(value as number, 2) });
    case "cycle_start":
      return t("yes");
    case "lab":
      return (value as Lab[])
        .map((one) => `${optionTitle(name, one.name)} ${number(one.value, 2)} ${LABS[one.name]?.unit ?? ""}`)
        .join(", ");
  }
  switch (item(name)?.group) {
    case "side_effect": {
      const { severity, bothersome } = value as SideEffect;
      const title = optionTitle(name, severity);
      return bothersome ? t("{severity}, bothersome", { severity: title }) : title;
    }
    case "treatment": {
      const takings = (value as Taking[]).map((one) => [one.name, one.dose].filter(Boolean).join(" "));
      return takings.join(", ") || t("nothing");
    }
  }
  if (Array.isArray(value)) return value.map((one) => optionTitle(name, one as string)).join(", ") || t("nothing");
  if (typeof value === "number") return number(value, 2);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A field of an entry or of a session, as conflicts name it. */
export function fieldTitle(name: string): string {
  if (name.startsWith("items.")) return titleOf(name.slice("items.".length));
  switch (name) {
    case "felt_at":
      return t("When it was felt");
    case "started_at":
      return t("When it began");
    case "duration_s":
      return t("How long");
    case "time_zone":
      return t("Time zone");
    case "note":
      return t("Note");
    default:
      return name.replaceAll("_", " ");
  }
}
