/** What a share's link opens: read only, for a clinician or somebody close, and to be printed. */

import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect } from "preact/hooks";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Busy, Card, Empty, Section } from "../../parts/card.tsx";
import { save } from "../../parts/hand_over.ts";
import { titleOf } from "../../data/items.ts";
import { type Schemas, SignedOut, useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { duration, fullDay, milliampere, number, when } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { gradeSaid } from "../findings/grades.ts";
import { Periods } from "../history/periods.tsx";
import { ReportShown } from "../report/report_shown.tsx";
import { tokenIn, visit, type Visitor } from "./visitor.ts";

export default function Share() {
  const account = useAccount();
  const token = tokenIn(location.hash);
  const visitor = useSignal<Visitor | null>(null);
  const { problem, attempt } = useAttempt();
  useEffect(() => {
    if (token === null) return;
    void attempt(async () => {
      visitor.value = await visit(token, account);
    });
  }, [token, account]);
  const seen = visitor.value;
  if (seen === null) {
    return (
      <Screen title={t("Shared with you")}>
        {token === null ? (
          <Empty>{t("This link is not whole. Ask for it once more.")}</Empty>
        ) : problem.value === null ? (
          <Busy />
        ) : (
          <NotOpen problem={problem.value} isNobody={account.isNobody} />
        )}
      </Screen>
    );
  }
  const { share, api } = seen;
  const opens = new Set(share.scopes);
  return (
    <Screen title={share.from_name || t("Shared with you")}>
      <p class="soft">{t("Open until {day}. To be read only.", { day: fullDay(share.expires_at) })}</p>
      <div class="row not-printed">
        <Button onPress={() => window.print()}>{t("Print")}</Button>
      </div>
      {opens.has("report") && (
        <Part title={t("Report")} read={async () => dataOf(await api.GET("/v1/report"))}>
          {(report: Schemas["Report"]) => (
            <>
              <PrintedReport api={api} />
              <ReportShown report={report} />
            </>
          )}
        </Part>
      )}
      {opens.has("sessions") && (
        <>
          <Part title={t("Use by week")} read={async () => dataOf(await api.GET("/v1/history", WEEKS))}>
            {(history: Schemas["History"]) => <Periods items={history.items} length="week" />}
          </Part>
          <Part title={t("Latest sessions")} read={async () => dataOf(await api.GET("/v1/sessions"))}>
            {(page: Schemas["SessionPage"]) => <Sessions page={page} />}
          </Part>
        </>
      )}
      {opens.has("insights") && (
        <Part title={t("Findings")} read={async () => dataOf(await api.GET("/v1/insights/correlations"))}>
          {(found: Schemas["Correlations"]) => <FindingsTold found={found} />}
        </Part>
      )}
      {opens.has("diary") && (
        <Part title={t("Diary")} read={async () => dataOf(await api.GET("/v1/diary"))}>
          {(page: Schemas["DiaryPage"]) => <Entries page={page} />}
        </Part>
      )}
    </Screen>
  );
}

const WEEKS = { params: { query: { period: "week" } } } as const;

function NotOpen({ problem, isNobody }: { problem: unknown; isNobody: boolean }) {
  if (!(problem instanceof SignedOut)) return <ProblemBanner problem={problem} />;
  return (
    <Card>
      <p>{t("This link opens nothing. It may have ended, or its owner has taken it back.")}</p>
      {isNobody && (
        <>
          <p class="soft">{t("If it was made for you as a clinician, sign in first.")}</p>
          <LinkButton href={to("sign-in")}>{t("Sign in")}</LinkButton>
        </>
      )}
    </Card>
  );
}

interface PartProps<T> {
  title: string;
  read: () => Promise<T>;
  children: (data: T) => ComponentChildren;
}

function Part<T>({ title, read, children }: PartProps<T>) {
  const data = useSignal<T | null>(null);
  const { problem, attempt } = useAttempt();
  useEffect(() => {
    void attempt(async () => {
      data.value = await read();
    });
  }, []);
  return (
    <Section title={title}>
      {data.value === null ? <Unanswered problem={problem.value} /> : children(data.value)}
    </Section>
  );
}

function PrintedReport({ api }: { api: Visitor["api"] }) {
  const { problem, attempt } = useAttempt();
  const load = () =>
    attempt(async () => {
      save(dataOf<Blob>(await api.GET("/v1/report.pdf", { parseAs: "blob" })), "cymba-report.pdf");
    });
  return (
    <div class="not-printed">
      <Button look="main" onPress={load}>
        {t("Download as PDF")}
      </Button>
      <ProblemBanner problem={problem.value} />
    </div>
  );
}

function Sessions({ page }: { page: Schemas["SessionPage"] }) {
  const waiting = page.unsynced.length;
  return (
    <>
      {waiting > 0 && (
        <Banner kind="warn">
          {tn("{n} device may hold sessions that are not uploaded.", "{n} devices may hold sessions that are not uploaded.", waiting)}
        </Banner>
      )}
      <ul class="list plain-list">
        {page.items.map((one) => (
          <li key={one.id}>
            <span class="number">{when(one.started_at, one.time_zone)}</span>
            <span class="soft small">
              {[
                one.stimulating_s === null ? null : duration(one.stimulating_s),
                one.mean_amplitude_ua === null ? null : milliampere(one.mean_amplitude_ua),
                one.recorder === "device" ? null : t("entered by hand"),
              ]
                .filter(Boolean)
                .join(" · ")}
            </span>
          </li>
        ))}
      </ul>
    </>
  );
}

function FindingsTold({ found }: { found: Schemas["Correlations"] }) {
  return (
    <>
      <Banner>{found.disclaimer}</Banner>
      <ul class="list plain-list">
        {found.primary.map((one) => (
          <li key={one.id}>
            <span class="spread">
              <strong>{one.outcome_title}</strong>
              <span class="mark">{gradeSaid(one.grade)}</span>
            </span>
            <span>{one.sentence}</span>
          </li>
        ))}
      </ul>
    </>
  );
}

function Entries({ page }: { page: Schemas["DiaryPage"] }) {
  return (
    <ul class="list plain-list">
      {page.items.map((one) => (
        <li key={one.id}>
          <span class="number">{when(one.felt_at, one.time_zone)}</span>
          <span class="soft small">
            {Object.entries(one.items as Record<string, unknown>)
              .filter(([, value]) => typeof value === "number")
              .map(([name, value]) => `${titleOf(name)}: ${number(value as number, 1)}`)
              .join(" · ")}
          </span>
          {one.note !== null && <span>{one.note}</span>}
        </li>
      ))}
    </ul>
  );
}
