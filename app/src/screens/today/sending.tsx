import { Banner, ProblemBanner, sayProblem } from "../../parts/banner.tsx";
import { Button, LinkButton } from "../../parts/button.tsx";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { ToDecide } from "../diary/to_decide.tsx";

/** Whether all is sent, and what stands in the way. */
export function Sending() {
  const account = useAccount();
  const state = account.syncState.value;
  const unsent = account.unsent.value;
  const at = account.syncedAt.value;
  const waiting =
    unsent > 0
      ? tn("{n} change waits to be sent.", "{n} changes wait to be sent.", unsent)
      : t("Everything is sent.");
  return (
    <>
      <ToDecide />
      {state.name === "signed-out" && (
        <Banner kind="warn">
          <p>{t("Your sign-in has ended. What is on this device is still here. Sign in again to send it.")}</p>
          <LinkButton href={to("sign-in")}>{t("Sign in")}</LinkButton>
        </Banner>
      )}
      {state.name === "faulty" && <ProblemBanner problem={state.problem} />}
      <div class="spread soft small" role="status">
        <span>
          {waiting} {state.name === "offline" && sayProblem(new TypeError())}
          {state.name === "resting" && at !== null && t("Checked {when}.", { when: fromNow(at) })}
        </span>
        <Button look="plain" onPress={() => account.sync()}>
          {t("Check now")}
        </Button>
      </div>
    </>
  );
}
