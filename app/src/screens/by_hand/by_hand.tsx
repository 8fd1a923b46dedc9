/** A session of a device that sends nothing: by a timer on this phone, or written down afterwards. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Busy, Card, Empty } from "../../parts/card.tsx";
import { Choice, Select } from "../../parts/field.tsx";
import { useDevices, useModels } from "../../data/answers.ts";
import { type Schemas, useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { language } from "../../shell/look.ts";
import { Screen } from "../../shell/screen.tsx";
import { runningTimer, type Timer } from "./timer.ts";
import { TimerCard } from "./timer_card.tsx";
import { Written } from "./written.tsx";

/** What a session was made with: a device of the person's, or only its model. */
export interface Source {
  key: string;
  title: string;
  device_id: string | null;
  model: Schemas["Model"];
}

export default function ByHand() {
  const account = useAccount();
  const chosen = useSignal<string | null>(null);
  const way = useSignal<"timer" | "written">("timer");
  const timer = useSignal<Timer | null>(null);
  useEffect(() => {
    void runningTimer(account).then((found) => {
      timer.value = found;
      if (found !== null) chosen.value = found.device_id ?? found.model;
    });
  }, [account]);
  const { value: models } = useModels();
  const { value: devices } = useDevices();
  const sources = sourcesOf(models.value.data?.items ?? [], devices.value.data?.items ?? []);
  const source = sources.find((one) => one.key === chosen.value) ?? sources[0];
  return (
    <Screen title={t("A session by hand")} back={to("sessions")}>
      {source === undefined ? (
        models.value.isReading ? (
          <Busy />
        ) : (
          <Empty>{t("The list of devices is read once, with a connection. Then this works without one.")}</Empty>
        )
      ) : (
        <>
          <Card>
            <Select
              label={t("With which device")}
              value={source.key}
              options={sources.map((one) => ({ value: one.key, label: one.title }))}
              onChange={(key) => (chosen.value = key)}
            />
            {timer.value === null && (
              <Choice
                label={t("How")}
                value={way.value}
                options={[
                  { value: "timer", label: t("Time it now") },
                  { value: "written", label: t("Write it down") },
                ]}
                onChange={(value) => (way.value = value)}
              />
            )}
          </Card>
          {way.value === "timer" || timer.value !== null ? (
            <TimerCard source={source} timer={timer} />
          ) : (
            <Written key={source.key} source={source} />
          )}
        </>
      )}
    </Screen>
  );
}

function sourcesOf(models: Schemas["Model"][], devices: Schemas["Device"][]): Source[] {
  const byName = new Map(models.map((one) => [one.name, one]));
  const own = devices.flatMap((one) => {
    const model = byName.get(one.model);
    return model === undefined ? [] : [{ key: one.id, title: one.name || one.model_title, device_id: one.id, model }];
  });
  const any = models.map((model) => ({
    key: model.name,
    title: model.titles[language.value] ?? model.title,
    device_id: null,
    model,
  }));
  return [...own, ...any];
}
