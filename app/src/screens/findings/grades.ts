/** Grades in plain words. None of them says that one thing makes another. */

import type { Schemas } from "../../data/use.ts";
import { t } from "../../shell/language.ts";

export type Finding = Schemas["Finding"];

export function gradeSaid(grade: Finding["grade"]): string {
  switch (grade) {
    case "collecting":
      return t("Collecting days");
    case "not_enough":
      return t("Too little is known");
    case "no_clear_link":
      return t("No clear link");
    case "early_signal":
      return t("Early sign");
    case "moderate":
      return t("Moderate");
    case "strong":
      return t("Strong");
    case "tested":
      return t("Tested by your trial");
    default:
      return grade;
  }
}

/** Those that say more than that nothing is known yet. */
export function says(grade: Finding["grade"]): boolean {
  return !["collecting", "not_enough", "no_clear_link"].includes(grade);
}

export function lagSaid(lag: number): string {
  if (lag === 0) return t("Later the same day");
  if (lag === 1) return t("The next morning");
  return t("The morning {n} days later", { n: lag });
}
