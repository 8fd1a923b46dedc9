/** What a trial could find with the person's own gaps, before it is begun. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { dataOf } from "@cymba/client";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Busy, Card, Empty } from "../../parts/card.tsx";
import { Choice, Select, TextField } from "../../parts/field.tsx";
import { Facts } from "../../parts/facts.tsx";
import { titleOf } from "../../data/items.ts";
import { useDevices } from "../../data/answers.ts";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { number, percent } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

const OUTCOMES = ["pain_now", "sleep_quality", "mood", "fatigue"] as const;
type Outcome = (typeof OUTCOMES)[number];
type Power = Schemas["ExperimentPower"];

export default function Plan() {
  const account = useAccount();
  const { route } = useLocation();
  const outcome = useSignal<Outcome>("pain_now");
  const chosen = useSignal(0);
  const deviceId = useSignal<string | null>(null);
  const comparison = useSignal("0");
  const { problem, attempt } = useAttempt();
  const { value: devices } = useDevices();
  const { value: powers } = useAnswer<Schemas["ExperimentPowers"]>(`power ${outcome.value}`, async ({ api }) =>
    dataOf(await api.POST("/v1/experiments/preview", { body: { outcome: outcome.value } })),
  );
  const owned = devices.value.data?.items ?? [];
  const device = owned.find((one) => one.id === deviceId.value) ?? owned[0];
  const plans = powers.value.data?.items ?? [];
  const plan = plans[chosen.value] ?? plans[0];

  const begin = () =>
    attempt(async () => {
      if (device === undefined || plan === undefined) return;
      const body = {
        device_id: device.id,
        outcome: outcome.value,
        pairs: plan.pairs,
        block_days: plan.block_days,
        comparison_amplitude_ua: Math.round(Number(comparison.value) * 1000),
      };
      const made = dataOf(await account.api.POST("/v1/experiments", { body }));
      route(to(`findings/trials/${made.id}`));
    });
  if (devices.value.data !== null && owned.length === 0) {
    return (
      <Screen title={t("Plan a trial")} back={to("findings/trials")}>
        <Empty>{t("A trial needs a device of yours that takes programmes.")}</Empty>
      </Screen>
    );
  }
  return (
    <Screen title={t("Plan a trial")} back={to("findings/trials")}>
      <Banner kind="warn">{t("Talk to your clinician first. You can stop at any time, and nothing is changed on the device before you agree to it.")}</Banner>
      <Card>
        <Choice
          label={t("What shall be compared?")}
          value={outcome.value}
          options={OUTCOMES.map((name) => ({ value: name, label: titleOf(name) }))}
          onChange={(value) => {
            outcome.value = value;
            chosen.value = 0;
          }}
        />
        {owned.length > 1 && (
          <Select
            label={t("With which device")}
            value={device?.id ?? ""}
            options={owned.map((one) => ({ value: one.id, label: one.name || one.model_title }))}
            onChange={(value) => (deviceId.value = value)}
          />
        )}
        <TextField
          label={t("Current on the days with less, in mA")}
          hint={t("0: the device stays off on those days.")}
          type="number"
          inputMode="decimal"
          step="any"
          min={0}
          max={60}
          value={comparison.value}
          onInput={(value) => (comparison.value = value)}
        />
      </Card>
      {powers.value.isReading && plan === undefined && <Busy />}
      {plan === undefined && <ProblemBanner problem={powers.value.problem} />}
      {plan !== undefined && (
        <Card title={t("What it could find")}>
          <Choice
            label={t("Length")}
            value={plans.indexOf(plan)}
            options={plans.map((one, index) => ({
              value: index,
              label: t("{days} days: {pairs} pairs of {block} days each", { days: one.days, pairs: one.pairs, block: one.block_days }),
            }))}
            onChange={(value) => (chosen.value = value)}
          />
          <Power one={plan} />
        </Card>
      )}
      <ProblemBanner problem={problem.value} />
      {plan !== undefined && (
        <Button look="main" wide onPress={begin}>
          {t("Draw the order and begin")}
        </Button>
      )}
    </Screen>
  );
}

function Power({ one }: { one: Power }) {
  const n = one.minimal_difference;
  const said = { n: number(n, 1), share: percent(one.power) };
  return (
    <>
      <p>
        {one.power >= 0.8
          ? tn(
              "If there is a difference of {n} point, it is found in {share} of such trials.",
              "If there is a difference of {n} points, it is found in {share} of such trials.",
              n,
              said,
            )
          : tn(
              "Even if there is a difference of {n} point, it is found in only {share} of such trials.",
              "Even if there is a difference of {n} points, it is found in only {share} of such trials.",
              n,
              said,
            )}
      </p>
      <Facts
        of={[
          [
            t("Found in 80 % of such trials"),
            one.smallest_difference === null ? t("nothing that is worth a trial") : t("{n} points or more", { n: number(one.smallest_difference, 1) }),
          ],
          [t("Mornings with a rating"), percent(one.rated)],
          [t("Days with a session"), percent(one.used)],
          [t("Computed from"), one.from_own_diary ? t("your own diary") : t("usual values: your diary is too short")],
        ]}
      />
    </>
  );
}
