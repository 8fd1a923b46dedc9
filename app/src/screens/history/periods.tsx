import type { Schemas } from "../../data/use.ts";
import type { Length } from "../../data/answers.ts";
import { duration, monthOf, number, shortDay } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";

type Period = Schemas["HistoryPeriod"];

const BAR_MOST = 100; // of the drawing's width

/** The latest first, each with a bar of its minutes. */
export function Periods({ items, length }: { items: Period[]; length: Length }) {
  const most = Math.max(...items.map((one) => one.stimulating_min ?? 0), 1);
  return (
    <ul class="list periods">
      {[...items].reverse().map((one) => (
        <li key={one.first_day} class="period">
          <span class="spread">
            <span class="number">{named(one, length)}</span>
            {!one.complete && one.sessions !== null && <span class="mark warn">{t("More may not be uploaded")}</span>}
          </span>
          <Bar share={(one.stimulating_min ?? 0) / most} isUnknown={one.sessions === null} />
          <span class="soft small">{inWords(one)}</span>
        </li>
      ))}
    </ul>
  );
}

function named(one: Period, length: Length): string {
  if (length === "day") return shortDay(one.first_day, "UTC");
  if (length === "month") return monthOf(one.first_day);
  return t("{first} to {last}", { first: shortDay(one.first_day, "UTC"), last: shortDay(one.last_day, "UTC") });
}

function inWords(one: Period): string {
  if (one.sessions === null) return t("Not known: nothing is uploaded of it yet.");
  if (one.sessions === 0) return t("No session");
  const said = [
    tn("{n} session", "{n} sessions", one.sessions),
    one.stimulating_min === null ? null : duration(one.stimulating_min * 60),
    one.delivered_charge_mc === null ? null : t("{n} mC", { n: number(one.delivered_charge_mc, 1) }),
    one.days_known > 1 ? t("on {n} of {known} days", { n: one.days_with_session, known: one.days_known }) : null,
  ];
  return said.filter(Boolean).join(" · ");
}

/** The words beside it say the same. */
function Bar({ share, isUnknown }: { share: number; isUnknown: boolean }) {
  return (
    <svg class="bar" viewBox={`0 0 ${BAR_MOST} 4`} preserveAspectRatio="none" aria-hidden="true">
      <rect class={isUnknown ? "unknown" : "ground"} width={BAR_MOST} height="4" rx="1" />
      <rect class="filled" width={Math.max(share * BAR_MOST, share > 0 ? 1 : 0)} height="4" rx="1" />
    </svg>
  );
}
