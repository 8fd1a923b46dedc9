import { useMemo } from "preact/hooks";
import { Button } from "../../parts/button.tsx";
import { Check, Choice, Choices, Select, TextField } from "../../parts/field.tsx";
import { item, type Lab, LABS, optionsOf, optionTitle, type Taking, titleOf } from "../../data/items.ts";
import { number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import type { Draft } from "./draft.ts";
import { Folded } from "./folded.tsx";

const MOST = 50;

export function Questionnaires({ draft, asked }: { draft: Draft; asked: string[] }) {
  const names = ["phq4", "pgic"];
  const isOpen = useMemo(() => names.some((name) => name in draft.items.value || asked.includes(name)), []);
  const phq4 = (draft.items.value["phq4"] ?? [null, null, null, null]) as (number | null)[];
  return (
    <Folded title={t("Questions about a longer time")} isOpen={isOpen}>
      <p>{t("Over the last two weeks, how often have you been bothered by these?")}</p>
      {(item("phq4")?.questions ?? []).map((question, at) => (
        <Choice
          key={question}
          label={question}
          options={numbered("phq4")}
          value={phq4[at] ?? null}
          onChange={(answer) => draft.set("phq4", phq4.with(at, answer))}
        />
      ))}
      <Choice
        label={titleOf("pgic")}
        options={numbered("pgic")}
        value={(draft.items.value["pgic"] as number | undefined) ?? null}
        onChange={(answer) => draft.set("pgic", answer)}
      />
    </Folded>
  );
}

export function More({ draft }: { draft: Draft }) {
  const names = ["medication", "other_treatment", "lab", "condition", "cycle_start"];
  const isOpen = useMemo(() => names.some((name) => name in draft.items.value), []);
  const conditions = (draft.items.value["condition"] ?? []) as string[];
  return (
    <Folded title={t("Medication and more")} isOpen={isOpen}>
      <Takings name="medication" draft={draft} />
      <Takings name="other_treatment" draft={draft} />
      <Labs draft={draft} />
      <Choices
        label={titleOf("condition")}
        options={optionsOf("condition")}
        values={conditions}
        onChange={(values) => draft.set("condition", values.length > 0 ? values : null)}
      />
      <Check
        label={titleOf("cycle_start")}
        checked={draft.items.value["cycle_start"] === true}
        onChange={(checked) => draft.set("cycle_start", checked || null)}
      />
    </Folded>
  );
}

/** Of a questionnaire, whose answers are numbers. */
function numbered(name: string): { value: number; label: string }[] {
  return optionsOf(name).map(({ value, label }) => ({ value: Number(value), label }));
}

function Takings({ name, draft }: { name: string; draft: Draft }) {
  const takings = (draft.items.value[name] ?? []) as Taking[];
  const set = (values: Taking[]) => draft.set(name, values.length > 0 ? values : null);
  const change = (at: number, part: Partial<Taking>) => {
    const { dose, ...rest } = { ...takings[at]!, ...part };
    set(takings.with(at, dose ? { ...rest, dose } : rest));
  };
  return (
    <fieldset class="stack tight">
      <legend class="legend">{titleOf(name)}</legend>
      {takings.map((taking, at) => (
        <div class="pair" key={at}>
          <TextField label={t("What")} maxLength={200} required value={taking.name} onInput={(value) => change(at, { name: value })} />
          <TextField label={t("How much")} maxLength={200} value={taking.dose ?? ""} onInput={(value) => change(at, { dose: value })} />
          <Button label={t("Remove: {what}", { what: taking.name })} onPress={() => set(takings.toSpliced(at, 1))}>
            {t("Remove")}
          </Button>
        </div>
      ))}
      {takings.length < MOST && <Button onPress={() => set([...takings, { name: "" }])}>{t("Add")}</Button>}
    </fieldset>
  );
}

function Labs({ draft }: { draft: Draft }) {
  const labs = (draft.items.value["lab"] ?? []) as Lab[];
  const set = (values: Lab[]) => draft.set("lab", values.length > 0 ? values : null);
  return (
    <fieldset class="stack tight">
      <legend class="legend">{titleOf("lab")}</legend>
      {labs.map((lab, at) => {
        const known = LABS[lab.name]!;
        const isOut = !(lab.value >= known.low && lab.value <= known.high);
        return (
          <div class="pair" key={at}>
            <Select
              label={t("What")}
              value={lab.name}
              options={optionsOf("lab")}
              onChange={(name) => set(labs.with(at, { ...lab, name }))}
            />
            <TextField
              label={t("Value in {unit}", { unit: known.unit })}
              type="number"
              inputMode="decimal"
              step="any"
              required
              error={isOut ? t("From {low} to {high}.", { low: number(known.low), high: number(known.high) }) : null}
              value={Number.isNaN(lab.value) ? "" : String(lab.value)}
              onInput={(value) => set(labs.with(at, { ...lab, value: value === "" ? Number.NaN : Number(value) }))}
            />
            <Button label={t("Remove: {what}", { what: optionTitle("lab", lab.name) })} onPress={() => set(labs.toSpliced(at, 1))}>
              {t("Remove")}
            </Button>
          </div>
        );
      })}
      <Button onPress={() => set([...labs, { name: Object.keys(LABS)[0]!, value: Number.NaN }])}>{t("Add")}</Button>
    </fieldset>
  );
}
