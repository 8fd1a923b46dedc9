import { useSignal } from "@preact/signals";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Choice, Choices, TextField } from "../../parts/field.tsx";
import { SCALES, titleOf } from "../../data/items.ts";
import { t } from "../../shell/language.ts";
import type { Draft } from "./draft.ts";
import { endsOf, scale } from "./scales.ts";

const CHOSEN = "cymba-rated-items";
const USUAL = ["pain_now", "mood", "fatigue"];

/** The scales: those that were asked for, that have a value, or that the person rates as a rule. */
export function Ratings({ draft, asked }: { draft: Draft; asked: string[] }) {
  const names = SCALES.map((one) => one.name);
  const isOpen = useSignal(false);
  const chosen = useSignal(
    names.filter((name) => name in draft.items.value || (asked.length > 0 ? asked : kept()).includes(name)),
  );
  return (
    <Card title={t("How it is")}>
      {chosen.value.map((name) => (
        <div class="stack tight" key={name}>
          <Choice
            label={titleOf(name)}
            hint={endsOf(name)}
            isScale
            options={scale()}
            value={(draft.items.value[name] as number | undefined) ?? null}
            onChange={(value) => draft.set(name, value)}
          />
          {name in draft.items.value && (
            <Button look="plain" label={t("Leave out: {item}", { item: titleOf(name) })} onPress={() => draft.set(name, null)}>
              {t("Leave out")}
            </Button>
          )}
        </div>
      ))}
      {(asked.length === 0 || asked.includes("sleep_hours")) && (
        <TextField
          label={titleOf("sleep_hours")}
          type="number"
          inputMode="decimal"
          min={0}
          max={24}
          step={0.25}
          value={draft.items.value["sleep_hours"] === undefined ? "" : String(draft.items.value["sleep_hours"])}
          onInput={(value) => draft.set("sleep_hours", value === "" ? null : Math.min(Math.max(Number(value), 0), 24))}
        />
      )}
      {isOpen.value ? (
        <Choices
          label={t("What you rate")}
          options={names.map((name) => ({ value: name, label: titleOf(name) }))}
          values={chosen.value}
          onChange={(values) => {
            const dropped = chosen.value.filter((name) => !values.includes(name));
            for (const name of dropped) draft.set(name, null);
            chosen.value = names.filter((name) => values.includes(name));
            localStorage.setItem(CHOSEN, JSON.stringify(values));
          }}
        />
      ) : (
        <Button onPress={() => void (isOpen.value = true)}>{t("Rate something else")}</Button>
      )}
    </Card>
  );
}

function kept(): string[] {
  try {
    return (JSON.parse(localStorage.getItem(CHOSEN) ?? "null") as string[] | null) ?? USUAL;
  } catch {
    return USUAL;
  }
}
