import { Banner } from "../../parts/banner.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t, tn } from "../../shell/language.ts";

/** That the server did not take something, where there is such a thing. */
export function ToDecide() {
  const aside = useAccount().aside.value;
  if (aside === 0) return null;
  return (
    <Banner kind="warn">
      <p>
        {tn(
          "{n} change was not taken. You decide what becomes of it.",
          "{n} changes were not taken. You decide what becomes of them.",
          aside,
        )}
      </p>
      <LinkButton href={to("diary/decide")}>{t("Look at it")}</LinkButton>
    </Banner>
  );
}
