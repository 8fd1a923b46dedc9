/** A trial has left the device otherwise than it was: the person decides, and is told until then. */

import { dataOf } from "@cymba/client";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Facts } from "../../parts/facts.tsx";
import { say } from "../../parts/toast.tsx";
import { type Schemas, useAccount, useAttempt } from "../../data/use.ts";
import { t } from "../../shell/language.ts";
import { limitFacts, programmeFacts } from "../devices/words.ts";

export function BeforeTrial({ before, onChanged }: { before: Schemas["BeforeTrial"]; onChanged: () => void | Promise<void> }) {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const params = { path: { experiment_id: before.experiment_id } };
  const decide = (way: "agree" | "decline") =>
    attempt(async () => {
      dataOf(
        way === "agree"
          ? await account.api.POST("/v1/experiments/{experiment_id}/before/agree", { params })
          : await account.api.POST("/v1/experiments/{experiment_id}/before/decline", { params }),
      );
      say(way === "agree" ? t("Sent. The device is as it was once it says so.") : t("The device stays as it is."));
      await onChanged();
    });
  return (
    <Banner kind="warn">
      <p>{before.sentence}</p>
      <details class="unfolds">
        <summary>{t("How it was before the trial")}</summary>
        <Facts of={[...programmeFacts(before.programme), ...limitFacts(before.limits)]} />
      </details>
      {before.state === "offered" && (
        <div class="row">
          <Button look="main" onPress={async () => await decide("agree")}>
            {t("Set it back")}
          </Button>
          <Button onPress={async () => await decide("decline")}>{t("Leave it as it is")}</Button>
        </div>
      )}
      <ProblemBanner problem={problem.value} />
    </Banner>
  );
}
