/** One finding in full: its picture, what it rests on, and what it does not show. */

import { Unanswered } from "../../parts/answered.tsx";
import { Banner } from "../../parts/banner.tsx";
import { Card, List, Row, Section } from "../../parts/card.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { Facts } from "../../parts/facts.tsx";
import { Picture } from "../../parts/picture.tsx";
import { pairPicture, usePair } from "../../data/answers.ts";
import { to } from "../../routes.tsx";
import { number, percent } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { type Finding, gradeSaid, lagSaid } from "./grades.ts";

interface PairProps {
  exposure: string;
  outcome: string;
  query: { lag?: string };
}

export default function PairScreen({ exposure, outcome, query }: PairProps) {
  const lag = query.lag === undefined ? undefined : Number(query.lag);
  const { value } = usePair(exposure, outcome, lag);
  const { data, problem, readAt } = value.value;
  if (data === null) {
    return (
      <Screen title={t("Finding")} back={to("findings")}>
        <Unanswered problem={problem} />
      </Screen>
    );
  }
  const shown = data.lags.find((one) => one.lag === lag) ?? data.finding;
  return (
    <Screen title={shown.outcome_title} back={to("findings")}>
      <p>
        <span class="mark">{gradeSaid(shown.grade)}</span>
      </p>
      <p>{shown.sentence}</p>
      {data.points.length > 0 && (
        <Picture {...pairPicture(exposure, outcome, lag)} alt={data.alt} />
      )}
      <Banner>
        <strong>{t("What this does not show")}</strong>
        <p>
          {t("That two things go together does not mean that one brings the other about. Something else may stand behind both, or it may be chance. Ask a clinician before you change your treatment.")}
        </p>
        {shown.reasons.includes("use_follows_pain") && (
          <p>{t("You use the device more when it hurts. So days with more use look worse, whatever the device does.")}</p>
        )}
        {shown.reasons.includes("use_follows_rating") && (
          <p>{t("How you feel changes how much you use the device. So this link may run the other way round.")}</p>
        )}
      </Banner>
      <Card title={t("What it rests on")}>
        <Facts of={factsOf(shown)} />
      </Card>
      {data.lags.length > 1 && (
        <Section title={t("At other times")}>
          <List>
            {data.lags.map((one) => (
              <Row key={one.lag} href={to(`findings/${exposure}/${outcome}?lag=${one.lag}`)}>
                <span class="spread">
                  {lagSaid(one.lag)}
                  <span class="mark">{gradeSaid(one.grade)}</span>
                </span>
              </Row>
            ))}
          </List>
        </Section>
      )}
      {!data.is_current && <p class="soft small">{t("Your days have changed since. It is about to be made anew.")}</p>}
      <AsOf readAt={readAt} />
    </Screen>
  );
}

function factsOf(one: Finding): [string, string | null][] {
  const bounds =
    one.low === null || one.high === null
      ? null
      : t("{low} to {high} points", { low: number(one.low, 1), high: number(one.high, 1) });
  const more = one.more_days;
  return [
    [t("What is compared"), one.exposure_title],
    [t("When it was felt"), lagSaid(one.lag)],
    [t("Days it was computed from"), one.n > 0 ? number(one.n) : null],
    [t("Whole days by now"), number(one.pairs_now)],
    [t("Difference"), one.effect === null ? null : t("{n} points", { n: number(one.effect, 1) })],
    [t("It lies between (95 %)"), bounds],
    [t("Days with a rating"), percent(one.outcome_coverage)],
    [t("Days whose sessions are known"), percent(one.exposure_coverage)],
    [t("Days that may still be needed"), more && t("{low} to {high}", { low: more.low, high: more.high })],
  ];
}
