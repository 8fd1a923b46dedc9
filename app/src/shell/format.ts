/** Numbers and times as the person's language writes them. Times are shown in the zone they carry. */

import { language } from "./look.ts";
import { t, tn } from "./language.ts";

export const DAY_MS = 86_400_000;
export const here = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** With English words go European forms: a day before its month, and 24 hours. */
function locale(): string {
  const own = navigator.languages.find((tag) => tag.startsWith(language.value));
  return own ?? (language.value === "en" ? "en-GB" : language.value);
}

function format(at: Date | string, zone: string, options: Intl.DateTimeFormatOptions): string {
  return new Intl.DateTimeFormat(locale(), { timeZone: zone, ...options }).format(new Date(at));
}

export function timeOfDay(at: Date | string, zone = here): string {
  return format(at, zone, { timeStyle: "short" });
}

export function timeWithSeconds(at: Date | string, zone = here): string {
  return format(at, zone, { timeStyle: "medium" });
}

export function longDay(at: Date | string, zone = here): string {
  return format(at, zone, { weekday: "long", day: "numeric", month: "long" });
}

export function shortDay(at: Date | string, zone = here): string {
  return format(at, zone, { weekday: "short", day: "numeric", month: "short" });
}

export function fullDay(at: Date | string, zone = here): string {
  return format(at, zone, { dateStyle: "long" });
}

/** The month of a `YYYY-MM-DD`. */
export function monthOf(day: string): string {
  return format(day, "UTC", { month: "long", year: "numeric" });
}

/** `YYYY-MM-DD` of the wall clock there, to compare days by. */
export function dayKey(at: Date | string, zone = here): string {
  return new Intl.DateTimeFormat("sv-SE", { timeZone: zone }).format(new Date(at));
}

/** "Today", "Yesterday", else the day. */
export function namedDay(at: Date | string, zone = here): string {
  const key = dayKey(at, zone);
  if (key === dayKey(new Date(), zone)) return t("Today");
  if (key === dayKey(new Date(Date.now() - DAY_MS), zone)) return t("Yesterday");
  const isThisYear = key.slice(0, 4) === dayKey(new Date(), zone).slice(0, 4);
  return isThisYear ? longDay(at, zone) : fullDay(at, zone);
}

export function when(at: Date | string, zone = here): string {
  return t("{day}, {time}", { day: namedDay(at, zone), time: timeOfDay(at, zone) });
}

export function number(value: number, digits = 0): string {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits }).format(value);
}

/** Of a share between 0 and 1. */
export function percent(share: number): string {
  return new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 0 }).format(share);
}

/** A current, which the API gives in millionths of an ampere. */
export function milliampere(ua: number): string {
  return t("{n} mA", { n: number(ua / 1000, 2) });
}

/** A length of time in minutes, or hours and minutes. */
export function duration(seconds: number): string {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return tn("{n} second", "{n} seconds", Math.round(seconds));
  if (minutes < 120) return tn("{n} minute", "{n} minutes", minutes);
  return t("{hours} h {minutes} min", { hours: Math.floor(minutes / 60), minutes: minutes % 60 });
}

/** How far a moment is from now, such as "in 20 minutes" or "3 days ago". */
export function fromNow(at: Date | string, now = Date.now()): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  const units: [Intl.RelativeTimeFormatUnit, number][] = [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ];
  const [unit, size] = units.find(([, one]) => Math.abs(seconds) >= one) ?? ["minute", 60];
  const relative = new Intl.RelativeTimeFormat(locale(), { numeric: "auto" });
  return Math.abs(seconds) < 60 ? t("just now") : relative.format(Math.round(seconds / size), unit);
}

/** The wall clock there as a form writes it: `2026-03-01T06:30`. */
export function wallClock(at: Date | string, zone = here): string {
  const time = new Intl.DateTimeFormat("sv-SE", {
    timeZone: zone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  }).format(new Date(at));
  return `${dayKey(at, zone)}T${time}`;
}

/** The moment at which a wall clock there shows this; of two, the first. null: no such text. */
export function momentOf(wall: string, zone = here): Date | null {
  const asUtc = Date.parse(`${wall}:00Z`);
  if (Number.isNaN(asUtc)) return null;
  // How far the zone is from UTC depends on the moment; one step back and one on find it.
  const offset = (at: number) => Date.parse(`${wallClock(new Date(at), zone)}:00Z`) - at;
  const guesses = [asUtc - offset(asUtc - DAY_MS), asUtc - offset(asUtc + DAY_MS)];
  const exact = guesses.filter((one) => one + offset(one) === asUtc);
  return new Date(Math.min(...(exact.length > 0 ? exact : guesses)));
}
