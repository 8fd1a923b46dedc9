/** Use by day, week or month, and symptoms beside it. What is not uploaded is not the same as none. */

import { useSignal } from "@preact/signals";
import { Unanswered } from "../../parts/answered.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Card, Empty, Section } from "../../parts/card.tsx";
import { AsOf } from "../../parts/as_of.tsx";
import { Choice } from "../../parts/field.tsx";
import { type Length, useHistory } from "../../data/answers.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Periods } from "./periods.tsx";
import { SymptomPictures } from "./symptom_pictures.tsx";

export default function History() {
  const account = useAccount();
  const length = useSignal<Length>("week");
  const { value } = useHistory(length.value);
  const { data, problem, readAt } = value.value;
  return (
    <Screen title={t("History")} back={to("findings")}>
      <Card>
        <Choice
          label={t("By")}
          value={length.value}
          options={[
            { value: "day", label: t("Day") },
            { value: "week", label: t("Week") },
            { value: "month", label: t("Month") },
          ]}
          onChange={(value) => (length.value = value)}
        />
      </Card>
      {account.isNobody ? (
        <Empty>{t("Your history begins with an account.")}</Empty>
      ) : data === null ? (
        <Unanswered problem={problem} />
      ) : (
        <>
          <LinkButton href={to("findings/report")}>{t("Report for your clinician")}</LinkButton>
          <Section title={t("Use of the device")}>
            <Periods items={data.items} length={length.value} />
          </Section>
          <SymptomPictures items={data.items} />
          <AsOf readAt={readAt} />
        </>
      )}
    </Screen>
  );
}
