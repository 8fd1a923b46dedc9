import { type Signal, useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { useClock } from "../../shell/clock.ts";
import { here, timeOfDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import type { Source } from "./by_hand.tsx";
import { elapsed_s, keepTimer, type Timer } from "./timer.ts";

const LONGEST_S = 86_400;
const MOST_LEVELS = 1_000; // of any device that Cymba knows

export function TimerCard({ source, timer }: { source: Source; timer: Signal<Timer | null> }) {
  const account = useAccount();
  const { route } = useLocation();
  const level = useSignal("");
  const isAsked = useSignal(false);
  const hasLevels = source.model.native_levels !== null;

  const put = async (next: Timer | null) => {
    await keepTimer(account, next);
    timer.value = next;
  };
  const begin = async () => {
    const native_level = hasLevels && level.value !== "" ? Number(level.value) : null;
    await put({
      started_at: new Date().toISOString(),
      device_id: source.device_id,
      model: source.device_id === null ? source.model.name : null,
      level_changes: native_level === null ? [] : [{ offset_s: 0, native_level }],
    });
  };
  const setLevel = async (running: Timer) => {
    const native_level = Number(level.value);
    const change = { offset_s: elapsed_s(running, Date.now()), native_level };
    const others = running.level_changes.filter((one) => one.offset_s !== change.offset_s);
    await put({ ...running, level_changes: [...others, change] });
    say(t("The level is noted."));
  };
  const end = async (running: Timer) => {
    const id = crypto.randomUUID();
    const { started_at, device_id, model, level_changes } = running;
    await account.edit("session", id, {
      recorder: "phone",
      started_at,
      time_zone: here,
      duration_s: Math.min(elapsed_s(running, Date.now()), LONGEST_S),
      ...(device_id === null ? { model } : { device_id }),
      // A timer knows levels from the start on, or none of them.
      ...(level_changes[0]?.offset_s === 0 ? { level_changes } : {}),
    });
    await put(null);
    say(t("The session is kept."));
    route(to(`sessions/${id}`));
  };

  const running = timer.value;
  if (running === null) {
    return (
      <Card>
        {hasLevels && <LevelField source={source} value={level} label={t("Level at the start")} />}
        <Button look="main" wide onPress={begin}>
          {t("Begin")}
        </Button>
        <p class="soft small">{t("Begin here when you begin on the device. This does not switch the device on or off.")}</p>
      </Card>
    );
  }
  return (
    <Card>
      <Elapsed timer={running} />
      <p class="soft">{t("Since {time}", { time: timeOfDay(running.started_at) })}</p>
      {hasLevels && running.level_changes.length > 0 && (
        <div class="row">
          <LevelField source={source} value={level} label={t("Level now")} />
          <Button onPress={async () => await setLevel(running)}>{t("Note it")}</Button>
        </div>
      )}
      <Button look="main" wide onPress={async () => await end(running)}>
        {t("It has ended")}
      </Button>
      <Button look="plain" onPress={() => void (isAsked.value = true)}>
        {t("Throw it away")}
      </Button>
      {isAsked.value && (
        <Confirm
          title={t("Throw this timer away?")}
          action={t("Throw it away")}
          isGrave
          onConfirm={async () => {
            isAsked.value = false;
            await put(null);
          }}
          onClose={() => void (isAsked.value = false)}
        >
          {t("No session is kept of it.")}
        </Confirm>
      )}
    </Card>
  );
}

function Elapsed({ timer }: { timer: Timer }) {
  return (
    <p class="timer number" role="timer">
      {clockSaid(elapsed_s(timer, useClock()))}
    </p>
  );
}

export function LevelField({ source, value, label }: { source: Source; value: Signal<string>; label: string }) {
  return (
    <TextField
      label={label}
      type="number"
      inputMode="numeric"
      min={0}
      max={source.model.native_levels ?? MOST_LEVELS}
      step={1}
      value={value.value}
      hint={t("Of {n} on this device", { n: source.model.native_levels ?? "" })}
      onInput={(typed) => (value.value = typed)}
    />
  );
}

function clockSaid(seconds: number): string {
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return `${hours > 0 ? `${hours}:` : ""}${two(minutes)}:${two(seconds % 60)}`;
}
