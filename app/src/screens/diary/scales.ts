/** What the ends of each scale mean. */

import { item } from "../../data/items.ts";
import { number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

export function scale(low = 0, high = 10): { value: number; label: string }[] {
  return Array.from({ length: high - low + 1 }, (_, at) => ({ value: low + at, label: number(low + at) }));
}

export function endsOf(name: string): string {
  if (name.startsWith("pain")) return t("0: no pain. 10: the worst that you can think of.");
  return item(name)?.worse === "lower"
    ? t("0: as bad as can be. 10: as good as can be.")
    : t("0: none. 10: as strong as can be.");
}
