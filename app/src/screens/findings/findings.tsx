/** What sessions and symptoms have to do with each other, and how sure that is. */

import type { ComponentChildren } from "preact";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner } from "../../parts/banner.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Empty, List, Row, Section } from "../../parts/card.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { useCorrelations, useSideEffects, useThenAndNow } from "../../data/answers.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { type Finding, gradeSaid, says } from "./grades.ts";

export default function Findings() {
  const account = useAccount();
  const { value } = useCorrelations();
  const { data, problem, readAt } = value.value;
  return (
    <Screen title={t("Findings")}>
      <div class="row">
        <LinkButton href={to("findings/history")}>{t("History")}</LinkButton>
        <LinkButton href={to("findings/trials")}>{t("Trials")}</LinkButton>
      </div>
      {account.isNobody && (
        <Empty>{t("Findings are made on the server, from your diary and your sessions. They begin with an account.")}</Empty>
      )}
      {data === null && !account.isNobody && <Unanswered problem={problem} />}
      {data !== null && (
        <>
          <Banner>{data.disclaimer}</Banner>
          <Section title={t("The day after a session")}>
            {data.primary.length === 0 ? (
              <Empty>{t("Nothing was computed yet. Come back in a minute.")}</Empty>
            ) : (
              <FindingList findings={data.primary} />
            )}
          </Section>
          <ThenAndNow />
          <SideEffects />
          {data.exploratory.length > 0 && (
            <details class="unfolds">
              <summary>{t("Other pairs, less sure")}</summary>
              <p class="soft small">
                {t("Nobody asked these beforehand. With so many, some look like a link by chance.")}
              </p>
              <FindingList findings={data.exploratory} />
            </details>
          )}
          <AsOf readAt={readAt} />
        </>
      )}
    </Screen>
  );
}

function FindingList({ findings }: { findings: Finding[] }) {
  return (
    <List>
      {findings.map((one) => (
        <Told
          key={one.id}
          href={to(`findings/${one.exposure}/${one.outcome}?lag=${one.lag}`)}
          title={one.outcome_title}
          sentence={one.sentence}
        >
          <span class={says(one.grade) ? "mark good" : "mark"}>{gradeSaid(one.grade)}</span>
        </Told>
      ))}
    </List>
  );
}

/** A line of any of the lists, which opens the whole of it. */
function Told(props: { href: string; title: string; sentence: string; children?: ComponentChildren }) {
  return (
    <Row href={props.href}>
      <span class="spread">
        <strong>{props.title}</strong>
        {props.children}
      </span>
      <span>{props.sentence}</span>
    </Row>
  );
}

function ThenAndNow() {
  const { value } = useThenAndNow();
  const items = value.value.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Section title={t("Then and now")}>
      <List>
        {items.map((one) => (
          <Told key={one.outcome} href={to(`findings/then/${one.outcome}`)} title={one.title} sentence={one.sentence} />
        ))}
      </List>
    </Section>
  );
}

function SideEffects() {
  const { value } = useSideEffects();
  const items = value.value.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Section title={t("Side effects over time")}>
      <List>
        {items.map((one) => (
          <Told key={one.item} href={to(`findings/side-effect/${one.item}`)} title={one.title} sentence={one.sentence} />
        ))}
      </List>
    </Section>
  );
}
