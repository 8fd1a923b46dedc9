import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Banner, errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card, Empty, List, Row } from "../../parts/card.tsx";
import { TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { titleOf } from "../../data/items.ts";
import { useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { useRedFlags } from "../../shell/red_flag.tsx";
import { Screen } from "../../shell/screen.tsx";

export default function RedFlagScreen() {
  const account = useAccount();
  const { flags, screening } = useRedFlags();
  const clinician = useSignal("");
  const seenOn = useSignal(dayKey(new Date()));
  const { problem, attempt } = useAttempt();
  const release = async (event: SubmitEvent) => {
    event.preventDefault();
    await attempt(async () => {
      const body = { clinician: clinician.value, seen_on: seenOn.value };
      dataOf(await account.api.POST("/v1/screening/release", { body }));
      await account.sync();
      say(t("Noted. The questions about your health must be answered again before a device may be used."));
    });
  };
  return (
    <Screen title={t("Seek care first")} back={to()}>
      {flags.length === 0 ? (
        <Empty>{t("There is no symptom here that needs care at once.")}</Empty>
      ) : (
        <>
          <Banner>
            <p>{screening?.advice ?? t("The programme stays locked until a clinician has looked at it.")}</p>
            <p>
              {t("Cymba lets none of your devices have a current while this stands. Nobody reads your diary: it calls for no help.")}
            </p>
          </Banner>
          <List>
            {flags.map((flag) => (
              <Row key={`${flag.symptom} ${flag.felt_at}`}>
                {titleOf(flag.symptom)}
                <div class="soft small">{when(flag.felt_at)}</div>
              </Row>
            ))}
          </List>
          {screening !== null && screening.red_flags.length > 0 && (
            <Card title={t("After a clinician has looked at it")}>
              <form class="stack" onSubmit={release}>
                <TextField
                  label={t("Who has looked at it")}
                  required
                  maxLength={400}
                  value={clinician.value}
                  error={errorAt(problem.value, "/clinician")}
                  onInput={(value) => (clinician.value = value)}
                />
                <TextField
                  label={t("On which day")}
                  type="date"
                  required
                  max={dayKey(new Date())}
                  value={seenOn.value}
                  error={errorAt(problem.value, "/seen_on")}
                  onInput={(value) => (seenOn.value = value)}
                />
                <ProblemBanner problem={problem.value} />
                <Button submit wide>
                  {t("A clinician has looked at it")}
                </Button>
              </form>
            </Card>
          )}
        </>
      )}
    </Screen>
  );
}
