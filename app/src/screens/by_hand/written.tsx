import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { Banner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Choice, TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, here } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import type { Source } from "./by_hand.tsx";
import { LevelField } from "./timer_card.tsx";

const LONGEST_MIN = 1_440;
type Side = "left" | "right" | "both";

export function Written({ source }: { source: Source }) {
  const account = useAccount();
  const { route } = useLocation();
  const day = useSignal(dayKey(new Date()));
  const time = useSignal("");
  const minutes = useSignal("");
  const level = useSignal("");
  const current = useSignal("");
  const side = useSignal<Side | null>(null);
  const note = useSignal("");
  const problem = useSignal<string | null>(null);
  const hasLevels = source.model.native_levels !== null;

  const keep = async (event: SubmitEvent) => {
    event.preventDefault();
    // A wall clock without a zone is read in that of this device.
    const started = new Date(`${day.value}T${time.value}`);
    if (started.getTime() > Date.now()) {
      problem.value = t("That lies ahead. Write it down once it is over.");
      return;
    }
    const id = crypto.randomUUID();
    await account.edit("session", id, {
      recorder: "person",
      started_at: started.toISOString(),
      time_zone: here,
      duration_s: Math.round(Number(minutes.value) * 60),
      ...(source.device_id === null ? { model: source.model.name } : { device_id: source.device_id }),
      ...(level.value !== "" && hasLevels ? { native_level: Number(level.value) } : {}),
      ...(current.value !== "" && !hasLevels ? { amplitude_ua: Math.round(Number(current.value) * 1000) } : {}),
      ...(side.value === null ? {} : { side: side.value }),
      ...(note.value.trim() === "" ? {} : { note: note.value }),
    });
    say(t("The session is kept."));
    route(to(`sessions/${id}`));
  };
  return (
    <Card>
      <form class="stack" onSubmit={keep}>
        <TextField label={t("Day")} type="date" required max={dayKey(new Date())} value={day.value} onInput={(value) => (day.value = value)} />
        <TextField label={t("It began at")} type="time" required value={time.value} onInput={(value) => (time.value = value)} />
        <TextField
          label={t("Minutes")}
          type="number"
          inputMode="numeric"
          required
          min={1}
          max={LONGEST_MIN}
          value={minutes.value}
          onInput={(value) => (minutes.value = value)}
        />
        {hasLevels ? (
          <LevelField source={source} value={level} label={t("Level, if you know it")} />
        ) : (
          <TextField
            label={t("Current in mA, if you know it")}
            type="number"
            inputMode="decimal"
            min={0}
            max={60}
            step="any"
            value={current.value}
            onInput={(value) => (current.value = value)}
          />
        )}
        <Choice
          label={t("Side")}
          value={side.value}
          options={[
            { value: "left", label: t("Left") },
            { value: "right", label: t("Right") },
            { value: "both", label: t("Both") },
          ]}
          onChange={(value) => (side.value = value)}
        />
        <TextField label={t("Note")} lines={2} maxLength={4000} value={note.value} onInput={(value) => (note.value = value)} />
        {problem.value !== null && <Banner kind="warn">{problem.value}</Banner>}
        <Button submit look="main" wide>
          {t("Keep it")}
        </Button>
      </form>
    </Card>
  );
}
