import { useSignal } from "@preact/signals";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Choice, Select } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { SCALES, titleOf } from "../../data/items.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { here } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { endsOf, scale } from "../diary/scales.ts";

const CHOSEN = "cymba-quick-item";

/** A rating in two taps: the number, and "Save". What is rated stays as it was the last time. */
export function QuickRating() {
  const account = useAccount();
  const name = useSignal(kept());
  const value = useSignal<number | null>(null);
  const save = async () => {
    const id = crypto.randomUUID();
    const rated = value.value;
    const items = { [name.value]: rated };
    await account.edit("diary-entry", id, { felt_at: new Date().toISOString(), time_zone: here, items });
    if (value.value === rated) value.value = null; // else the person has chosen the next meanwhile
    say(t("Saved: {item} {value}.", { item: titleOf(name.value), value: rated ?? "" }), {
      label: t("Undo"),
      run: async () => await account.edit("diary-entry", id, null),
    });
  };
  return (
    <Card title={t("How is it now?")}>
      <Select
        label={t("What you rate")}
        isLabelHidden
        value={name.value}
        options={SCALES.map((one) => ({ value: one.name, label: titleOf(one.name) }))}
        onChange={(chosen) => {
          name.value = chosen;
          value.value = null;
          localStorage.setItem(CHOSEN, chosen);
        }}
      />
      <Choice
        label={titleOf(name.value)}
        isLabelHidden
        hint={endsOf(name.value)}
        isScale
        options={scale()}
        value={value.value}
        onChange={(chosen) => (value.value = chosen)}
      />
      {value.value !== null && (
        <Button look="main" wide onPress={save}>
          {t("Save {value}", { value: value.value })}
        </Button>
      )}
      <LinkButton href={to("diary/new")} look="plain">
        {t("Write more")}
      </LinkButton>
    </Card>
  );
}

function kept(): string {
  const last = localStorage.getItem(CHOSEN);
  return SCALES.some((one) => one.name === last) ? last! : "pain_now";
}
