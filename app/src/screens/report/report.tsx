/** The person's own report for a clinician: which days, as a PDF, or for somebody to look at. */

import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Card, Empty } from "../../parts/card.tsx";
import { Choice } from "../../parts/field.tsx";
import { handOver } from "../../parts/hand_over.ts";
import { useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { DAY_MS, dayKey } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { ReportShown } from "./report_shown.tsx";

export default function Report() {
  const account = useAccount();
  const days = useSignal(91);
  const query = { first_day: dayKey(new Date(Date.now() - (days.value - 1) * DAY_MS)) };
  const { value } = useAnswer(`report ${query.first_day}`, async ({ api }) =>
    dataOf(await api.GET("/v1/report", { params: { query } })),
  );
  const { problem, attempt } = useAttempt();
  const load = () =>
    attempt(async () => {
      const response = await account.fetch(`/v1/report.pdf?first_day=${query.first_day}`);
      await handOver(response, "cymba-report.pdf");
    });
  return (
    <Screen title={t("Report for your clinician")} back={to("findings/history")}>
      {account.isNobody ? (
        <Empty>{t("A report begins with an account.")}</Empty>
      ) : (
        <>
          <Card>
            <Choice
              label={t("The last days")}
              value={days.value}
              options={[30, 91, 183, 365].map((value) => ({ value, label: tn("{n} day", "{n} days", value) }))}
              onChange={(value) => (days.value = value)}
            />
            <ProblemBanner problem={problem.value} />
            <Button look="main" wide onPress={load}>
              {t("Download as PDF")}
            </Button>
            <LinkButton href={to("you/shares")}>{t("Let somebody look")}</LinkButton>
          </Card>
          <Answered answer={value.value}>{(report) => <ReportShown report={report} />}</Answered>
        </>
      )}
    </Screen>
  );
}
