/** One device: how it is, what it holds, and what is desired of it. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Confirm, Dialog } from "../../parts/dialog.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { Facts } from "../../parts/facts.tsx";
import { say } from "../../parts/toast.tsx";
import { useDevice } from "../../data/answers.ts";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow, fullDay, here, percent, when } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { BeforeTrial } from "../trial/before_trial.tsx";
import { ProgrammeCard } from "./programme_card.tsx";
import { backlogSaid, electrodeSaid } from "./words.ts";

export default function DeviceScreen({ id }: { id: string }) {
  const account = useAccount();
  const { value, again } = useDevice(id);
  const { value: health } = useAnswer<Schemas["DeviceHealth"]>(`health ${id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/devices/{device_id}/health", { params: { path: { device_id: id } } })),
  );
  const { data: device, problem, readAt } = value.value;
  if (device === null) {
    return (
      <Screen title={t("Device")} back={to("devices")}>
        <Unanswered problem={problem} />
      </Screen>
    );
  }
  const changed = async () => {
    again();
    await account.sync();
  };
  return (
    <Screen title={device.name || device.model_title} back={to("devices")}>
      {device.suspension !== null && (
        <Banner kind="warn">
          {t("It sent far too much and is kept out until {when}. It keeps its recordings.", { when: when(device.suspension.until) })}
        </Banner>
      )}
      {device.unknown_programme !== null && (
        <Banner kind="alarm">
          {t("The device says that it holds a programme that nobody here sent. Do not use it until it has taken a new one.")}
        </Banner>
      )}
      {device.before_trial !== null && <BeforeTrial before={device.before_trial} onChanged={changed} />}
      <Health device={device} health={health.value.data} />
      <ProgrammeCard deviceId={id} model={device.model} />
      <LetGo device={device} />
      <AsOf readAt={readAt} />
    </Screen>
  );
}

function Health({ device, health }: { device: Schemas["Device"]; health: Schemas["DeviceHealth"] | null }) {
  const missing = health?.completeness.incomplete_sessions ?? 0;
  return (
    <Card title={t("How it is")}>
      <p>{backlogSaid(device.presence)}</p>
      {health?.unsynced === "unknown" && (
        <p class="soft">{t("It may have recorded since. No session in the list does not mean that there was none.")}</p>
      )}
      {health?.hint === "no-frames-arrive" && (
        <Banner kind="warn">{t("It says that it holds recordings, but none arrives. Leave it near and connected.")}</Banner>
      )}
      {health?.hint === "cut-off" && <Banner kind="warn">{t("Its connection is cut off again and again.")}</Banner>}
      <Facts
        of={[
          [t("Model"), device.model_title],
          [t("Serial number"), device.serial],
          [t("Yours since"), fullDay(device.claimed_at)],
          [t("Last seen"), device.presence === null ? null : fromNow(device.presence.last_seen_at)],
          [t("Battery"), device.presence?.battery_pct == null ? null : percent(device.presence.battery_pct / 100)],
          [t("Firmware"), device.presence?.firmware ?? null],
          [t("Complete until"), health?.complete_until ? when(health.complete_until) : null],
          [t("Sessions with missing data"), missing === 0 ? null : tn("{n} session", "{n} sessions", missing)],
          [t("Electrode"), electrodeSaid(device.electrode)],
        ]}
      />
      <ElectrodeChanged device={device} />
    </Card>
  );
}

function ElectrodeChanged({ device }: { device: Schemas["Device"] }) {
  const account = useAccount();
  if (device.electrode.reason === "no_impedance") return null;
  const changed = async () => {
    const said_of = new Date().toISOString();
    await account.edit("remark", crypto.randomUUID(), {
      what: "electrode_changed",
      device_id: device.id,
      said_of,
      time_zone: here,
    });
    say(t("Noted. Its resistance is counted anew."));
  };
  return <Button onPress={changed}>{t("I have put on a new electrode")}</Button>;
}

function LetGo({ device }: { device: Schemas["Device"] }) {
  const account = useAccount();
  const { route } = useLocation();
  const isAsked = useSignal(false);
  const code = useSignal<string | null>(null);
  const { problem, attempt } = useAttempt();
  const path = { device_id: device.id };
  const letGo = () =>
    attempt(async () => {
      isAsked.value = false;
      const { response } = await account.api.GET("/v1/devices/{device_id}", { params: { path } });
      const header = { "If-Match": response.headers.get("ETag") ?? "" };
      dataOf(await account.api.DELETE("/v1/devices/{device_id}", { params: { path, header } }));
      await account.sync();
      say(t("The device is no longer yours. Your sessions stay."));
      route(to("devices"));
    });
  const handOn = () =>
    attempt(async () => {
      const made = dataOf(await account.api.POST("/v1/devices/{device_id}/transfer", { params: { path } }));
      code.value = made.claim_code;
    });
  return (
    <Card title={t("Hand it on, or let it go")}>
      <div class="row">
        <Button onPress={handOn}>{t("Make a code to hand it on")}</Button>
        <Button look="plain" onPress={() => void (isAsked.value = true)}>
          {t("Let it go")}
        </Button>
      </div>
      <ProblemBanner problem={problem.value} />
      {code.value !== null && (
        <Dialog title={t("Code to hand it on")} onClose={() => void (code.value = null)}>
          <p class="code number">{code.value}</p>
          <p>{t("It is shown this once. Whoever has it and the serial number becomes the holder.")}</p>
        </Dialog>
      )}
      {isAsked.value && (
        <Confirm
          title={t("Let this device go?")}
          action={t("Let it go")}
          isGrave
          onConfirm={letGo}
          onClose={() => void (isAsked.value = false)}
        >
          {t("What it recorded until now stays yours. What it still holds will not come to you.")}
        </Confirm>
      )}
    </Card>
  );
}

