/** What the report for a clinician says, to be read on the screen; the PDF has all of it. */

import { Facts } from "../../parts/facts.tsx";
import { Section } from "../../parts/card.tsx";
import { titleOf } from "../../data/items.ts";
import type { Schemas } from "../../data/use.ts";
import { fullDay, number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

type Report = Schemas["Report"];

export function ReportShown({ report }: { report: Report }) {
  const { whole } = report.use;
  const notKnown = t("Not known");
  const count = (value: number | null) => (value === null ? notKnown : number(value, 0));
  return (
    <>
      <p class="soft">
        {t("{first} to {last}", { first: fullDay(report.first_day, "UTC"), last: fullDay(report.last_day, "UTC") })}
      </p>
      <Facts
        of={[
          [t("Sessions"), count(whole.sessions)],
          [t("Minutes with current"), count(whole.stimulating_min)],
          [t("Days with a session"), count(whole.days_with_session)],
          [t("Days of which nothing is known"), count(report.gaps.use.days)],
        ]}
      />
      {report.red_flags.length > 0 && (
        <Section title={t("Symptoms that lock the device")}>
          <Lines of={report.red_flags.map((one) => [one.title, fullDay(one.felt_at, report.time_zone)])} />
        </Section>
      )}
      {(whole.symptoms ?? []).length > 0 && (
        <Section title={t("Ratings, as a mean")}>
          <Facts of={(whole.symptoms ?? []).map((one) => [titleOf(one.item), number(one.mean, 1)])} />
        </Section>
      )}
      {report.side_effects.length > 0 && (
        <Section title={t("Side effects")}>
          <Lines
            of={report.side_effects.map((one) => [
              one.title,
              t("{n} of {all} answers", { n: one.mild + one.moderate + one.severe, all: one.answers }),
            ])}
          />
        </Section>
      )}
      {report.medication.items.length > 0 && (
        <Section title={t("Medication")}>
          <Lines
            of={report.medication.items.map((one) => [
              [one.name, one.dose].filter(Boolean).join(" "),
              t("{first} to {last}", { first: fullDay(one.first_day, "UTC"), last: fullDay(one.last_day, "UTC") }),
            ])}
          />
        </Section>
      )}
      {(report.findings?.primary ?? []).length > 0 && (
        <Section title={t("Findings")}>
          <Lines of={(report.findings?.primary ?? []).map((one) => [one.outcome_title, one.sentence])} />
        </Section>
      )}
    </>
  );
}

function Lines({ of }: { of: [title: string, said: string][] }) {
  return (
    <ul class="list plain-list">
      {of.map(([title, said], at) => (
        <li key={at}>
          <strong>{title}</strong>
          <span class="soft small">{said}</span>
        </li>
      ))}
    </ul>
  );
}
