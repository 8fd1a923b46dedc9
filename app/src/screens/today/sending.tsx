import { Banner, ProblemBanner, sayProblem } from "../../parts/banner.tsx";
import { Button, LinkButton } from "../../parts/button.tsx";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";

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
      {account.aside.value > 0 && (
        <Banner kind="warn">
          <p>
            {tn(
              "{n} change was not taken. You decide what becomes of it.",
              "{n} changes were not taken. You decide what becomes of them.",
              account.aside.value,
            )}
          </p>
          <LinkButton href={to("diary/decide")}>{t("Look at it")}</LinkButton>
        </Banner>
      )}
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
