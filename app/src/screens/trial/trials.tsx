import { Unanswered } from "../../parts/answered.tsx";
import { Banner } from "../../parts/banner.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { List, Row } from "../../parts/card.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { titleOf } from "../../data/items.ts";
import { useTrials } from "../../data/answers.ts";
import { type Schemas, useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fullDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

export default function Trials() {
  const account = useAccount();
  const { value } = useTrials();
  const { data, problem, readAt } = value.value;
  const isRunning = data?.items.some((one) => one.status === "running") ?? false;
  return (
    <Screen title={t("Trials")} back={to("findings")}>
      <Banner>
        {t("A trial of your own compares days with your usual current and days with less, in an order that is drawn by lot. Only so can a difference be told from your habits.")}
      </Banner>
      {!account.isNobody && !isRunning && (
        <LinkButton href={to("findings/trials/plan")} look="main" wide>
          {t("Plan a trial")}
        </LinkButton>
      )}
      {data === null && !account.isNobody && <Unanswered problem={problem} />}
      {data !== null && (
        <List none={t("There was no trial yet.")}>
          {data.items.map((one) => (
            <Row key={one.id} href={to(`findings/trials/${one.id}`)}>
              <span class="spread">
                <strong>{titleOf(one.outcome)}</strong>
                <span class={one.status === "running" ? "mark good" : "mark"}>{statusSaid(one.status)}</span>
              </span>
              <span class="soft small">{t("From {day}", { day: fullDay(one.first_day, "UTC") })}</span>
            </Row>
          ))}
        </List>
      )}
      <AsOf readAt={readAt} />
    </Screen>
  );
}

export function statusSaid(status: Schemas["Experiment"]["status"]): string {
  const said: Record<string, string> = { running: t("Running"), stopped: t("Stopped"), finished: t("Over") };
  return said[status] ?? status;
}
