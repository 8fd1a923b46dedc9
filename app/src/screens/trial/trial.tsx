/** One trial: the block that is now, what was agreed to, its seal, and its result. */

import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Facts } from "../../parts/facts.tsx";
import { TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { titleOf } from "../../data/items.ts";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, fullDay, number, shortDay, when } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { limitFacts, programmeFacts } from "../devices/words.ts";
import { BeforeTrial } from "./before_trial.tsx";
import { Seal } from "./seal.tsx";
import { statusSaid } from "./trials.tsx";

type Trial = Schemas["Experiment"];
type Block = Schemas["ExperimentBlock"];

export default function TrialScreen({ id }: { id: string }) {
  const account = useAccount();
  const { value, again } = useAnswer<Trial>(`trial ${id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/experiments/{experiment_id}", { params: { path: { experiment_id: id } } })),
  );
  const { data: trial, problem } = value.value;
  if (trial === null) {
    return (
      <Screen title={t("Trial")} back={to("findings/trials")}>
        <Unanswered problem={problem} />
      </Screen>
    );
  }
  const changed = async () => {
    again();
    await account.sync();
  };
  return (
    <Screen title={titleOf(trial.outcome)} back={to("findings/trials")}>
      <p>
        <span class="mark">{statusSaid(trial.status)}</span>
      </p>
      {trial.sentence !== null && <p>{trial.sentence}</p>}
      {trial.before_trial !== null && <BeforeTrial before={trial.before_trial} onChanged={changed} />}
      {trial.status === "running" && <NowCard trial={trial} onChanged={changed} />}
      {trial.result !== null && <Result result={trial.result} />}
      <Deviations trial={trial} />
      <Blocks trial={trial} />
      <Seal trial={trial} />
      {trial.status === "running" && <StopCard trial={trial} onChanged={changed} />}
    </Screen>
  );
}

// A block's number is counted from 0 in the API, and from 1 by people.
interface PartProps {
  trial: Trial;
  onChanged: () => Promise<void>;
}

function NowCard({ trial, onChanged }: PartProps) {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const today = dayKey(new Date(), trial.time_zone);
  const now = trial.blocks.find((one) => one.first_day <= today && today <= one.last_day);
  const next = trial.blocks.find((one) => one.arm !== null && one.agreed_at === null && one.last_day >= today);
  const agree = (block: Block) =>
    attempt(async () => {
      const path = { experiment_id: trial.id, number: block.number };
      dataOf(await account.api.POST("/v1/experiments/{experiment_id}/blocks/{number}/agree", { params: { path } }));
      say(t("Agreed. It goes to the device now."));
      await onChanged();
    });
  return (
    <Card title={now === undefined ? t("It has not begun") : t("Block {n} of {all}", { n: now.number + 1, all: trial.blocks.length })}>
      {now === undefined ? (
        <p>{t("It begins on {day}.", { day: fullDay(trial.first_day, "UTC") })}</p>
      ) : (
        <p>{t("{first} to {last}", { first: shortDay(now.first_day, "UTC"), last: shortDay(now.last_day, "UTC") })}</p>
      )}
      <p class="soft">{t("Go on as usual, and rate how you feel each morning before the first session.")}</p>
      {next !== undefined && (
        <div class="stack tight">
          <h3>{t("To agree to: block {n}", { n: next.number + 1 })}</h3>
          <Arm trial={trial} block={next} />
          <Button look="main" wide onPress={async () => await agree(next)}>
            {t("I agree to this block")}
          </Button>
        </div>
      )}
      {now !== undefined && now.agreed_at === null && next === undefined && (
        <p class="soft small">{t("There is nothing to agree to just now.")}</p>
      )}
      <ProblemBanner problem={problem.value} />
    </Card>
  );
}

function Arm({ trial, block }: { trial: Trial; block: Block }) {
  if (block.arm === null) return null;
  const arm = trial.plan.arms[block.arm as "full" | "comparison"];
  return (
    <>
      <p>{block.arm === "full" ? t("Your usual current") : t("Less current")}</p>
      <Facts of={[...programmeFacts(arm.programme), ...limitFacts(arm.limits)]} />
    </>
  );
}

function Blocks({ trial }: { trial: Trial }) {
  const agreed = trial.blocks.filter((one) => one.agreed_at !== null).length;
  return (
    <details class="unfolds">
      <summary>{t("Blocks: {n} of {all} agreed to", { n: agreed, all: trial.blocks.length })}</summary>
      <ol class="stack tight">
        {trial.blocks.map((one) => (
          <li key={one.number} class="spread">
            <span class="number">
              {one.number + 1}. {shortDay(one.first_day, "UTC")}
            </span>
            <span class="soft small">
              {one.agreed_at === null ? t("not agreed to") : t("agreed {when}", { when: when(one.agreed_at) })}
            </span>
          </li>
        ))}
      </ol>
    </details>
  );
}

function Deviations({ trial }: { trial: Trial }) {
  if (trial.deviations.length === 0) return null;
  return (
    <Banner kind="warn">
      <strong>{t("Not lived as planned")}</strong>
      <ul>
        {trial.deviations.map((one) => (
          <li key={`${one.block} ${one.code}`}>
            {t("Block {n}: {what}", { n: one.block + 1, what: deviationSaid(one.code) })}{" "}
            <span class="soft small">({tn("{n} day", "{n} days", one.days)})</span>
          </li>
        ))}
      </ul>
    </Banner>
  );
}

function deviationSaid(code: string): string {
  const said: Record<string, string> = {
    not_agreed: t("it was not agreed to"),
    no_session: t("there was no session"),
    not_uploaded: t("its sessions are not uploaded"),
    stimulated_in_off_block: t("there was a current though it was to be off"),
    above_limit: t("the current was above what was drawn"),
  };
  return said[code] ?? code;
}

function Result({ result }: { result: Schemas["ExperimentResult"] }) {
  const { low, high } = result;
  return (
    <Card title={t("Result")}>
      <Facts
        of={[
          [t("Carried out"), result.carried_out ? t("yes") : t("no: the numbers show no difference, whatever they are")],
          [t("Difference"), result.effect === null ? null : t("{n} points", { n: number(result.effect, 1) })],
          [
            t("It lies between (95 %)"),
            low === null || high === null ? null : t("{low} to {high} points", { low: number(low, 1), high: number(high, 1) }),
          ],
          [t("Blocks with the dose that was drawn"), t("{n} of {all}", { n: result.delivered_blocks, all: result.blocks })],
          [t("Days with a rating"), t("{n} of {all}", { n: result.rated_days, all: result.planned_days })],
        ]}
      />
    </Card>
  );
}

function StopCard({ trial, onChanged }: PartProps) {
  const account = useAccount();
  const isAsked = useSignal(false);
  const why = useSignal("");
  const { problem, attempt } = useAttempt();
  const stop = () =>
    attempt(async () => {
      isAsked.value = false;
      const params = { path: { experiment_id: trial.id } };
      const body = { reason: why.value.trim() || t("No reason given") };
      dataOf(await account.api.POST("/v1/experiments/{experiment_id}/stop", { params, body }));
      await onChanged();
    });
  return (
    <Card>
      <Button onPress={() => void (isAsked.value = true)}>{t("Stop the trial")}</Button>
      <ProblemBanner problem={problem.value} />
      {isAsked.value && (
        <Confirm
          title={t("Stop the trial?")}
          action={t("Stop it")}
          isGrave
          onConfirm={stop}
          onClose={() => void (isAsked.value = false)}
        >
          <TextField label={t("Why, if you like")} maxLength={400} value={why.value} onInput={(value) => (why.value = value)} />
          {t("You are then asked whether the device shall be as it was before the trial.")}
        </Confirm>
      )}
    </Card>
  );
}
