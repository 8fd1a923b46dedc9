import { useMemo } from "preact/hooks";
import { Check, Choice, Choices } from "../../parts/field.tsx";
import { item, optionsOf, SIDE_EFFECTS, type Severity, type SideEffect, titleOf } from "../../data/items.ts";
import { t, tn } from "../../shell/language.ts";
import type { Draft } from "./draft.ts";
import { Folded } from "./folded.tsx";

/** What was felt of the stimulation itself: first which, then how strong each was. */
export function SideEffects({ draft }: { draft: Draft }) {
  const noted = SIDE_EFFECTS.filter((one) => one.name in draft.items.value).map((one) => one.name);
  const isOpen = useMemo(() => noted.length > 0, []);
  const choose = (values: string[]) => {
    for (const name of noted) if (!values.includes(name)) draft.set(name, null);
    for (const name of values) if (!noted.includes(name)) draft.set(name, { severity: "mild" });
  };
  const groups = [
    { label: t("Needs care at once"), items: SIDE_EFFECTS.filter((one) => one.red_flag) },
    { label: t("Other side effects"), items: SIDE_EFFECTS.filter((one) => !one.red_flag) },
  ];
  return (
    <Folded
      title={t("Side effects")}
      isOpen={isOpen}
      says={noted.length > 0 ? tn("{n} noted", "{n} noted", noted.length) : t("nothing")}
    >
      {noted.map((name) => (
        <Strength key={name} name={name} draft={draft} />
      ))}
      {groups.map(({ label, items }) => (
        <Choices
          key={label}
          label={label}
          options={items.map((one) => ({ value: one.name, label: titleOf(one.name) }))}
          values={noted.filter((name) => items.some((one) => one.name === name))}
          onChange={(values) => {
            const others = noted.filter((name) => !items.some((one) => one.name === name));
            choose([...others, ...values]);
          }}
        />
      ))}
    </Folded>
  );
}

function Strength({ name, draft }: { name: string; draft: Draft }) {
  const value = draft.items.value[name] as SideEffect;
  return (
    <div class="stack tight">
      <Choice
        label={titleOf(name)}
        hint={item(name)?.note || undefined}
        options={optionsOf<Severity>(name)}
        value={value.severity}
        onChange={(severity) => draft.set(name, { ...value, severity })}
      />
      <Check
        label={t("It bothered me")}
        checked={value.bothersome ?? false}
        onChange={(bothersome) => draft.set(name, { severity: value.severity, ...(bothersome && { bothersome }) })}
      />
    </div>
  );
}
