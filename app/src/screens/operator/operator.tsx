/** For operators: what runs, what waits, and how the devices are. Nothing of it is about a person. */

import { dataOf } from "@cymba/client";
import { useSignal } from "@preact/signals";
import { Answered } from "../../parts/answered.tsx";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card, List, Row, Section } from "../../parts/card.tsx";
import { Facts } from "../../parts/facts.tsx";
import { Select } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { duration, fromNow, number, percent, when } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { partWord, queueWord, STATES, stateWord } from "./words.ts";

export default function Operator() {
  const { value, again } = useAnswer("operator-status", async ({ api }) =>
    dataOf(await api.GET("/v1/operator/status")),
  );
  return (
    <Screen title={t("This installation")} back={to("you")}>
      <Answered answer={value.value}>
        {(status) => (
          <>
            <Overview status={status} />
            <Button wide onPress={again}>{t("Look again")}</Button>
          </>
        )}
      </Answered>
      <Quarantine />
      <Suspended />
      <Fleet />
    </Screen>
  );
}

function Overview({ status }: { status: Schemas["OperatorStatus"] }) {
  const { backlog, sessions } = status;
  return (
    <>
      <Section title={t("Processes")}>
        <List>
          {status.processes.map((one) => (
            <Row key={one.name} end={<span class="soft small">{t("quiet for {spell}", { spell: duration(one.quiet_s) })}</span>}>
              {partWord(one.name)} <span class="soft small">{one.name}</span>
            </Row>
          ))}
          {status.missing.map((part) => (
            <Row key={part} end={<span class="mark warn">{t("Not connected")}</span>}>
              {partWord(part)} <span class="soft small">{part}</span>
            </Row>
          ))}
        </List>
      </Section>
      <Card title={t("What waits")}>
        <Facts
          of={Object.entries(status.queues).map(([name, one]) => [
            queueWord(name),
            one.oldest_at === null ? number(one.waiting) : `${number(one.waiting)}, ${fromNow(one.oldest_at)}`,
          ])}
        />
      </Card>
      <Card title={t("Devices")}>
        <Facts of={Object.entries(status.states).map(([state, count]) => [stateWord(state), number(count)])} />
        <p class="soft small">
          {tn("{n} device still holds {frames} frames, by its own word.", "{n} devices still hold {frames} frames, by their own word.", backlog.devices, {
            frames: number(backlog.frames),
          })}
        </p>
      </Card>
      <Card title={t("Firmware")}>
        <Facts of={status.firmwares.map((one) => [one.name ?? t("Not told"), number(one.devices)])} />
      </Card>
      <Card title={t("Sessions of the last day")}>
        <Facts
          of={[
            [t("Complete"), number(sessions.complete)],
            [t("Incomplete"), number(sessions.incomplete)],
            [t("Not ended"), number(sessions.open)],
            [t("Share that is here"), sessions.share === null ? null : percent(sessions.share)],
          ]}
        />
      </Card>
    </>
  );
}

function Quarantine() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const { value, again } = useAnswer("operator-quarantine", async ({ api }) =>
    dataOf(await api.GET("/v1/operator/quarantine", { params: { query: { limit: 20 } } })),
  );
  const replay = (quarantine_id: number) => () =>
    attempt(async () => {
      const path = { quarantine_id };
      const answer = await account.api.POST("/v1/operator/quarantine/{quarantine_id}/replay", { params: { path } });
      again();
      say(dataOf(answer).is_settled ? t("It waits no longer.") : t("It was rejected again."));
    });
  return (
    <Section title={t("Quarantine")}>
      <ProblemBanner problem={problem.value} />
      <Answered answer={value.value}>
        {({ items }) => (
          <List none={t("No frame waits.")}>
            {items.map((one) => (
              <Row key={one.id} end={<Button onPress={replay(one.id)}>{t("Try again")}</Button>}>
                {one.code}
                <div class="soft small">
                  {one.device_id}, {when(one.received_at)}
                </div>
              </Row>
            ))}
          </List>
        )}
      </Answered>
    </Section>
  );
}

function Suspended() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const { value, again } = useAnswer("operator-suspensions", async ({ api }) =>
    dataOf(await api.GET("/v1/operator/suspensions")),
  );
  const lift = (device_id: string) => () =>
    attempt(async () => {
      const params = { path: { device_id } };
      dataOf(await account.api.DELETE("/v1/operator/suspensions/{device_id}", { params }));
      again();
    });
  return (
    <Section title={t("Suspended")}>
      <ProblemBanner problem={problem.value} />
      <Answered answer={value.value}>
        {({ items }) => (
          <List none={t("No device is kept out.")}>
            {items.map((one) => (
              <Row key={one.device_id} end={<Button onPress={lift(one.device_id)}>{t("Let it in")}</Button>}>
                {one.device_id}
                <div class="soft small">{t("Until {when}", { when: when(one.until) })}</div>
              </Row>
            ))}
          </List>
        )}
      </Answered>
    </Section>
  );
}

function Fleet() {
  const state = useSignal<(typeof STATES)[number]>("online");
  const { value } = useAnswer(`operator-devices-${state.value}`, async ({ api }) =>
    dataOf(await api.GET("/v1/operator/devices", { params: { query: { state: state.value, limit: 50 } } })),
  );
  return (
    <Section title={t("Devices by state")}>
      <Select
        label={t("State")}
        value={state.value}
        options={STATES.map((one) => ({ value: one, label: stateWord(one) }))}
        onChange={(chosen) => void (state.value = chosen)}
      />
      <Answered answer={value.value}>
        {({ items, next_cursor }) => (
          <>
            <List none={t("None.")}>
              {items.map((one) => (
                <Row key={one.id}>
                  {one.id} <span class="soft small">{one.model}</span>
                  <Facts
                    of={[
                      [t("Firmware"), one.firmware],
                      [t("Seen"), one.seen_at === null ? null : fromNow(one.seen_at)],
                      [t("Frames it holds"), one.backlog_frames === null ? null : number(one.backlog_frames)],
                      [t("Share that is here"), one.completeness === null ? null : percent(one.completeness)],
                    ]}
                  />
                </Row>
              ))}
            </List>
            {next_cursor !== null && <p class="soft small">{t("There are more: ask the API for them.")}</p>}
          </>
        )}
      </Answered>
    </Section>
  );
}
