import { Unsent } from "../../parts/card.tsx";
import { Icon } from "../../parts/icon.tsx";
import type { Shown } from "../../data/account.ts";
import { ITEMS, redFlagsIn, titleOf } from "../../data/items.ts";
import { timeOfDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import type { Items } from "./draft.ts";
import { valueOf } from "./words.ts";

/** An entry in a few lines: the time, each value, and the note. */
export function Summary({ entry }: { entry: Shown }) {
  const { fields } = entry;
  const items = (fields["items"] ?? {}) as Items;
  const names = ITEMS.map((one) => one.name).filter((name) => name in items);
  const flags = redFlagsIn(items);
  const note = fields["note"] as string | null | undefined;
  return (
    <>
      <span class="spread">
        <span class="number soft">{timeOfDay(String(fields["felt_at"]), String(fields["time_zone"]))}</span>
        {entry.unsent && <Unsent />}
      </span>
      {flags.length > 0 && (
        <span class="mark alarm">
          <Icon name="warning" />
          {t("Needs care: {symptoms}", { symptoms: flags.map(titleOf).join(", ") })}
        </span>
      )}
      <span class="values">
        {names.map((name) => (
          <span key={name}>
            {titleOf(name)} <strong>{valueOf(name, items[name])}</strong>
          </span>
        ))}
      </span>
      {note && <span class="note">{note}</span>}
      {names.length === 0 && !note && <span class="soft">{t("Empty")}</span>}
    </>
  );
}
