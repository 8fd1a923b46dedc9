/** A symptom then and now, or a side effect from session to session: a sentence and its picture. */

import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { Busy } from "../../parts/card.tsx";
import { Facts } from "../../parts/facts.tsx";
import { Picture } from "../../parts/picture.tsx";
import { sideEffectPicture, thenAndNowPicture, useSideEffects, useThenAndNow } from "../../data/answers.ts";
import type { Schemas } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fullDay, number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

export function ThenAndNowScreen({ outcome }: { outcome: string }) {
  const { value } = useThenAndNow();
  const found = value.value.data?.items.find((one) => one.outcome === outcome);
  if (found === undefined) return <NotYet problem={value.value.problem} isReading={value.value.isReading} />;
  return (
    <Screen title={found.title} back={to("findings")}>
      <p>{found.sentence}</p>
      {found.grade !== "not_enough" && (
        <Picture {...thenAndNowPicture(outcome)} alt={found.alt} />
      )}
      <Facts
        of={[
          [t("Then"), period(found.baseline)],
          [t("Now"), period(found.current)],
        ]}
      />
      <Banner>
        {t("Much changes in such a time: the weather, medicines, sleep. What of it the device has to do with, this does not show.")}
      </Banner>
    </Screen>
  );
}

function period(one: Schemas["ComparedPeriod"]): string {
  const days = t("{first} to {last}", { first: fullDay(one.first_day, "UTC"), last: fullDay(one.last_day, "UTC") });
  const mean = one.mean === null ? t("too few ratings") : t("{n} on average", { n: number(one.mean, 1) });
  return `${mean} (${days})`;
}

export function SideEffectScreen({ item }: { item: string }) {
  const { value } = useSideEffects();
  const found = value.value.data?.items.find((one) => one.item === item);
  if (found === undefined) return <NotYet problem={value.value.problem} isReading={value.value.isReading} />;
  return (
    <Screen title={found.title} back={to("findings")}>
      <p>{found.sentence}</p>
      {found.answers > 0 && <Picture {...sideEffectPicture(item)} alt={found.alt} />}
      <Facts
        of={[
          [t("Times you answered"), number(found.answers)],
          [t("Of them with this side effect"), number(found.yes)],
          [t("Sessions by now"), number(found.sessions)],
        ]}
      />
    </Screen>
  );
}

function NotYet({ problem, isReading }: { problem: Error | null; isReading: boolean }) {
  return (
    <Screen title={t("Finding")} back={to("findings")}>
      {isReading ? <Busy /> : <p>{t("There is nothing to say of it yet.")}</p>}
      <ProblemBanner problem={problem} />
    </Screen>
  );
}
