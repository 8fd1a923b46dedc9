import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card, List, Row, Section } from "../../parts/card.tsx";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fullDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

export default function Consents() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const { value, again } = useAnswer("consents", async ({ api }) => dataOf(await api.GET("/v1/consents")));
  const change = (purpose: Schemas["ConsentPurpose"], isGiven: boolean) =>
    attempt(async () => {
      const path = { purpose: purpose.name };
      if (isGiven) {
        const body = { text_version: purpose.text_version };
        dataOf(await account.api.POST("/v1/consents/{purpose}", { params: { path }, body }));
      } else {
        dataOf(await account.api.DELETE("/v1/consents/{purpose}", { params: { path } }));
      }
      again();
      void account.sync();
    });
  return (
    <Screen title={t("What you agreed to")} back={to("you")}>
      <p class="soft">{t("Each is your choice, and you can take it back at any time.")}</p>
      <ProblemBanner problem={problem.value} />
      <Answered answer={value.value}>
        {({ purposes, history }) => (
          <>
            {purposes.map((purpose) => (
              <Card key={purpose.name} title={purpose.title} aside={<Standing purpose={purpose} />}>
                <p>{purpose.text}</p>
                {purpose.is_given ? (
                  <Button onPress={() => change(purpose, false)}>{t("Take it back")}</Button>
                ) : (
                  <Button look="main" onPress={() => change(purpose, true)}>
                    {t("I agree")}
                  </Button>
                )}
              </Card>
            ))}
            {history.length > 0 && (
              <Section title={t("What was agreed to before")}>
                <List>
                  {history.map((one) => (
                    <Row key={one.purpose + one.given_at}>
                      {purposes.find((purpose) => purpose.name === one.purpose)?.title ?? one.purpose}
                      <div class="soft small">
                        {one.withdrawn_at === null
                          ? t("since {day}", { day: fullDay(one.given_at) })
                          : t("{from} to {to}", { from: fullDay(one.given_at), to: fullDay(one.withdrawn_at) })}
                      </div>
                    </Row>
                  ))}
                </List>
              </Section>
            )}
          </>
        )}
      </Answered>
    </Screen>
  );
}

function Standing({ purpose }: { purpose: Schemas["ConsentPurpose"] }) {
  if (purpose.given === null) return <span class="mark">{t("Not agreed to")}</span>;
  if (!purpose.is_given) return <span class="mark warn">{t("The text is new")}</span>;
  return <span class="mark good">{t("Agreed to")}</span>;
}
