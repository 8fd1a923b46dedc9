/** The app's words for what the diary's values are called in the API. */

import { conditionTitle, item, labTitle, LABS, type Lab, type Severity, type SideEffect, type Taking, titleOf } from "../../data/items.ts";
import { number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

export function siteTitle(site: string): string {
  switch (site) {
    case "head": return t("Head");
    case "face": return t("Face");
    case "ear": return t("Ear");
    case "neck": return t("Neck");
    case "shoulder": return t("Shoulder");
    case "arm": return t("Arm");
    case "hand": return t("Hand");
    case "chest": return t("Chest");
    case "abdomen": return t("Belly");
    case "upper_back": return t("Upper back");
    case "lower_back": return t("Lower back");
    case "hip": return t("Hip");
    case "leg": return t("Leg");
    case "knee": return t("Knee");
    case "foot": return t("Foot");
    case "widespread": return t("In many places");
    default: return site;
  }
}

export function kindTitle(kind: string): string {
  switch (kind) {
    case "burning": return t("Burning");
    case "shooting": return t("Shooting");
    case "stabbing": return t("Stabbing");
    case "electric": return t("Electric");
    case "aching": return t("Aching");
    case "throbbing": return t("Throbbing");
    case "tingling": return t("Tingling pain");
    case "numb": return t("Numb");
    case "cold": return t("Cold");
    case "pressure": return t("Pressure");
    case "cramping": return t("Cramping");
    default: return kind;
  }
}

export function severityTitle(severity: Severity): string {
  switch (severity) {
    case "none": return t("None");
    case "mild": return t("Mild");
    case "moderate": return t("Moderate");
    case "severe": return t("Severe");
  }
}

/** PHQ-4 as published (Kroenke 2009): two questions about anxiety, then two about depression. */
export function phq4Questions(): string[] {
  return [
    t("Feeling nervous, anxious or on edge"),
    t("Not being able to stop or control worrying"),
    t("Little interest or pleasure in doing things"),
    t("Feeling down, depressed or hopeless"),
  ];
}

export function phq4Answers(): string[] {
  return [t("Not at all"), t("Several days"), t("More than half the days"), t("Nearly every day")];
}

export function pgicAnswers(): string[] {
  return [
    t("Very much better"),
    t("Much better"),
    t("A little better"),
    t("No change"),
    t("A little worse"),
    t("Much worse"),
    t("Very much worse"),
  ];
}

/** What an item says in an entry, in words. */
export function valueOf(name: string, value: unknown): string {
  if (value === null || value === undefined) return t("nothing");
  if (name === "pain_site") return (value as string[]).map(siteTitle).join(", ");
  if (name === "pain_kind") return (value as string[]).map(kindTitle).join(", ");
  if (name === "condition") return (value as string[]).map(conditionTitle).join(", ");
  if (name === "pgic") return pgicAnswers()[(value as number) - 1] ?? String(value);
  if (name === "phq4") {
    const answers = value as (number | null)[];
    return answers.map((one) => (one === null ? "–" : number(one))).join(" · ");
  }
  if (name === "sleep_hours") return t("{n} h", { n: number(value as number, 2) });
  if (name === "cycle_start") return t("yes");
  if (name === "lab") {
    return (value as Lab[]).map((one) => `${labTitle(one.name)} ${number(one.value, 2)} ${LABS[one.name]?.unit ?? ""}`).join(", ");
  }
  if (item(name)?.group === "side_effect") {
    const { severity, bothersome } = value as SideEffect;
    return bothersome ? t("{severity}, bothersome", { severity: severityTitle(severity) }) : severityTitle(severity);
  }
  if (item(name)?.group === "treatment") {
    const takings = value as Taking[];
    return takings.length === 0 ? t("nothing") : takings.map((one) => [one.name, one.dose].filter(Boolean).join(" ")).join(", ");
  }
  if (typeof value === "number") return number(value, 2);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A field of an entry or of a session, as conflicts name it. */
export function fieldTitle(name: string): string {
  if (name.startsWith("items.")) return titleOf(name.slice("items.".length));
  switch (name) {
    case "felt_at": return t("When it was felt");
    case "started_at": return t("When it began");
    case "duration_s": return t("How long");
    case "time_zone": return t("Time zone");
    case "note": return t("Note");
    default: return name.replaceAll("_", " ");
  }
}
