/** Changing what is desired of a device, within what its model takes. The server judges all of it. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner, errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Choice, TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useDevice, useModels, useProgramme } from "../../data/answers.ts";
import { type Schemas, useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { siteSaid } from "../session/words.ts";

type Programme = Schemas["Programme"];
type Member = Exclude<keyof Programme, "site" | "side">;

/** How a member is typed: in which unit, and what one of that unit is of the API's. */
interface Typed {
  member: Member;
  label: () => string;
  scale: number;
}

const TYPED: readonly Typed[] = [
  { member: "amplitude_ua", label: () => t("Current in mA (0: you find it each time)"), scale: 1000 },
  { member: "native_level", label: () => t("Level"), scale: 1 },
  { member: "duration_s", label: () => t("Minutes of a session"), scale: 60 },
  { member: "on_s", label: () => t("Seconds on"), scale: 1 },
  { member: "off_s", label: () => t("Seconds off"), scale: 1 },
  { member: "frequency_hz", label: () => t("Pulses a second (Hz)"), scale: 1 },
  { member: "pulse_width_us", label: () => t("Length of a pulse (µs)"), scale: 1 },
  { member: "ramp_ua_per_s", label: () => t("Rise of the current (µA a second)"), scale: 1 },
  { member: "sensory_threshold_ua", label: () => t("Current that you just feel, in mA"), scale: 1000 },
];

export default function ProgrammeScreen({ id }: { id: string }) {
  const { value } = useProgramme(id);
  const { value: device } = useDevice(id);
  const { value: models } = useModels();
  const state = value.value.data;
  const model = models.value.data?.items.find((one) => one.name === device.value.data?.model);
  return (
    <Screen title={t("Programme")} back={to(`devices/${id}`)}>
      {state === null || model === undefined ? (
        <Unanswered problem={value.value.problem} />
      ) : (
        <ProgrammeForm key={state.version} id={id} state={state} model={model} />
      )}
    </Screen>
  );
}

interface FormProps {
  id: string;
  state: Schemas["ProgrammeState"];
  model: Schemas["Model"];
}

function ProgrammeForm({ id, state, model }: FormProps) {
  const account = useAccount();
  const { route } = useLocation();
  const before: Partial<Programme> = state.desired?.programme ?? usualOf(model);
  const typed = useSignal<Partial<Record<Member, string>>>(
    Object.fromEntries(TYPED.map(({ member, scale }) => [member, before[member] == null ? "" : String(Number(before[member]) / scale)])),
  );
  const site = useSignal(before.site ?? model.sites[0] ?? "");
  const side = useSignal<Programme["side"]>(before.side ?? "left");
  const { problem, attempt } = useAttempt();
  const asked = TYPED.filter(({ member }) => model.programme_members.includes(member) || before[member] != null);

  const send = async (event: SubmitEvent) => {
    event.preventDefault();
    await attempt(async () => {
      const given = asked
        .filter(({ member }) => (typed.value[member] ?? "") !== "")
        .map(({ member, scale }) => [member, rounded(member, Number(typed.value[member]) * scale)]);
      const programme = { ...Object.fromEntries(given), site: site.value, side: side.value } as Programme;
      const limits = state.desired?.limits;
      const read = await account.api.GET("/v1/devices/{device_id}/programme", { params: { path: { device_id: id } } });
      if (read.data?.version !== state.version) {
        say(t("This was changed elsewhere meanwhile. Look at it again."));
        return;
      }
      dataOf(
        await account.api.PUT("/v1/devices/{device_id}/programme", {
          params: { path: { device_id: id }, header: { "If-Match": read.response.headers.get("ETag") ?? "" } },
          body: limits === undefined ? { programme } : { programme, limits },
        }),
      );
      say(t("Kept. It holds once the device says so."));
      route(to(`devices/${id}`));
    });
  };
  return (
    <form class="stack" onSubmit={send}>
      <Banner>{t("Set only what you agreed on with a clinician, or what the maker's manual says. The device keeps to its own limits.")}</Banner>
      <Card>
        {asked.map(({ member, label, scale }) => (
          <TextField
            key={member}
            label={label()}
            type="number"
            inputMode="decimal"
            step="any"
            min={0}
            required={model.programme_members.includes(member)}
            value={typed.value[member] ?? ""}
            hint={usualSaid(model.usual[member], scale)}
            error={errorAt(problem.value, `/programme/${member}`)}
            onInput={(value) => (typed.value = { ...typed.value, [member]: value })}
          />
        ))}
        {model.sites.length > 1 && (
          <Choice
            label={t("Place")}
            value={site.value}
            options={model.sites.map((one) => ({ value: one, label: siteSaid(one) ?? one }))}
            onChange={(value) => (site.value = value)}
          />
        )}
        <Choice
          label={t("Side")}
          value={side.value ?? null}
          options={[
            { value: "left", label: t("Left") },
            { value: "right", label: t("Right") },
            { value: "both", label: t("Both") },
          ]}
          onChange={(value) => (side.value = value)}
        />
      </Card>
      <ProblemBanner problem={problem.value} />
      <Button submit look="main" wide>
        {t("Send it to the device")}
      </Button>
    </form>
  );
}

function usualOf(model: Schemas["Model"]): Partial<Programme> {
  return Object.fromEntries(Object.entries(model.usual).map(([name, range]) => [name, range.default]));
}

function usualSaid(range: Schemas["UsualRange"] | undefined, scale: number): string | undefined {
  if (range === undefined) return undefined;
  return t("Usually {low} to {high}", { low: number(range.low / scale, 2), high: number(range.high / scale, 2) });
}

/** All but the frequency are whole numbers of their unit. */
function rounded(member: Member, value: number): number {
  return member === "frequency_hz" ? value : Math.round(value);
}
