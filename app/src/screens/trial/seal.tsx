/** The coin was drawn and sealed before the trial began; when it is over, this device checks it. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Schemas, useAccount } from "../../data/use.ts";
import { when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { sealHolds } from "./seal_check.ts";

export function Seal({ trial }: { trial: Schemas["Experiment"] }) {
  const account = useAccount();
  const holds = useSignal<boolean | null>(null);
  const check = async () => {
    const response = await account.fetch(`/v1/experiments/${trial.id}`);
    if (response.ok) holds.value = await sealHolds(await response.text());
  };
  useEffect(() => {
    // Without a network it is not checked, and nothing is said of it.
    if (trial.seed !== null) void check().catch(() => undefined);
  }, [trial.seed]);
  return (
    <details class="unfolds">
      <summary>{t("The seal")}</summary>
      <p>{t("The order was drawn before the trial began, and sealed on {when}. Nobody could change it later.", { when: when(trial.sealed_at) })}</p>
      <p class="code small">{trial.seal}</p>
      {trial.seed === null ? (
        <p class="soft small">{t("What it was made from is shown once the trial is over.")}</p>
      ) : (
        <>
          <p class="code small">{trial.seed}</p>
          {holds.value === true && <p class="mark good">{t("This device has checked it: the seal holds.")}</p>}
          {holds.value === false && <p class="mark alarm">{t("The seal does not hold. Do not rely on this result.")}</p>}
        </>
      )}
    </details>
  );
}
