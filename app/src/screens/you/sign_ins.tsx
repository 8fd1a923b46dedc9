import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { List, Row } from "../../parts/card.tsx";
import { useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

export default function SignIns() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const { value, again } = useAnswer("sign-ins", async ({ api }) =>
    dataOf(await api.GET("/v1/account/sign-ins")),
  );
  const tried = (work: () => Promise<unknown>) => () =>
    attempt(async () => {
      await work();
      again();
    });
  const end = (id: string) =>
    tried(async () => {
      const params = { path: { sign_in_id: id } };
      dataOf(await account.api.DELETE("/v1/account/sign-ins/{sign_in_id}", { params }));
    });
  const endOthers = tried(async () => dataOf(await account.api.DELETE("/v1/account/sign-ins")));
  return (
    <Screen title={t("Where you are signed in")} back={to("you")}>
      <ProblemBanner problem={problem.value} />
      <Answered answer={value.value}>
        {({ items }) => (
          <>
            <List>
              {items.map((one) => (
                <Row
                  key={one.id}
                  end={
                    one.current ? (
                      <span class="mark good">{t("Here")}</span>
                    ) : (
                      <Button onPress={end(one.id)}>{t("Sign out")}</Button>
                    )
                  }
                >
                  {one.signed_in_at === null ? t("Signed in") : t("Signed in: {when}", { when: when(one.signed_in_at) })}
                  <div class="soft small">{t("Last used {when}", { when: fromNow(one.refreshed_at) })}</div>
                </Row>
              ))}
            </List>
            {items.length > 1 && (
              <Button wide onPress={endOthers}>
                {t("Sign out everywhere else")}
              </Button>
            )}
          </>
        )}
      </Answered>
    </Screen>
  );
}
