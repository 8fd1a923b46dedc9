/** What the device measured, downsampled so that peaks and gaps stay. */

import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Section } from "../../parts/card.tsx";
import { Chart, type Line } from "../../parts/chart.tsx";
import { type Schemas, useAnswer } from "../../data/use.ts";
import { duration, number } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

const POINTS = 800; // about two for each pixel of a phone
const WANTED = ["amplitude_delivered_ua", "amplitude_ua", "native_level", "impedance_ohm", "heart_rate_bpm"];

type Series = Schemas["TelemetrySeries"];

export function Readings({ id, zone, isOpen }: { id: string; zone: string; isOpen: boolean }) {
  const { value } = useAnswer<Schemas["Telemetry"]>(`telemetry ${id}`, async ({ api }) =>
    // As JSON, of the forms that it can be asked for in
    dataOf(
      await api.GET("/v1/sessions/{session_id}/telemetry", {
        params: { path: { session_id: id }, query: { channels: WANTED.join(","), points: POINTS } },
      }),
    ) as Schemas["Telemetry"],
  );
  const { data, problem } = value.value;
  if (data === null) return <Unanswered problem={problem} />;
  const shown = seriesShown(data.series);
  if (shown.length === 0) return null;
  return (
    <Section title={t("Readings")}>
      {isOpen && <p class="soft small">{t("Until now. It is still running.")}</p>}
      {shown.map((one) => (
        <Chart key={one.channel} line={lineOf(one, data.started_at)} zone={zone} alt={inWords(one)} />
      ))}
    </Section>
  );
}

/** Of what was set and what was delivered, what was delivered. */
function seriesShown(series: Series[]): Series[] {
  const known = series.filter((one) => one.values.some((value) => value !== null));
  const isDelivered = known.some((one) => one.channel === "amplitude_delivered_ua");
  return known
    .filter((one) => !(isDelivered && one.channel === "amplitude_ua"))
    .sort((one, other) => WANTED.indexOf(one.channel) - WANTED.indexOf(other.channel));
}

function lineOf(one: Series, started_at: string): Line {
  const start_s = Date.parse(started_at) / 1000;
  return {
    title: titleSaid(one),
    unit: unitSaid(one.shown_unit ?? one.unit),
    at_s: one.offset_ms.map((ms) => start_s + ms / 1000),
    values: one.values.map((value) => (value === null ? null : value / one.scale)),
  };
}

function inWords(one: Series): string {
  const known = one.values.filter((value) => value !== null).map((value) => value / one.scale);
  const gaps = one.values.filter((value) => value === null).length;
  const said = t("{title}: from {low} to {high} {unit}, over {length}.", {
    title: titleSaid(one),
    low: number(Math.min(...known), 2),
    high: number(Math.max(...known), 2),
    unit: unitSaid(one.shown_unit ?? one.unit),
    length: duration((one.offset_ms.at(-1) ?? 0) / 1000),
  });
  return gaps === 0 ? said : `${said} ${t("With gaps, where nothing was measured.")}`;
}

function titleSaid(one: Series): string {
  const said: Record<string, string> = {
    amplitude_delivered_ua: t("Current"),
    amplitude_ua: t("Current that was set"),
    native_level: t("Level"),
    impedance_ohm: t("Resistance of the electrode"),
    heart_rate_bpm: t("Heart rate"),
  };
  return said[one.channel] ?? one.title;
}

function unitSaid(ucum: string | null): string {
  const said: Record<string, string> = { kOhm: "kΩ", Ohm: "Ω", "/min": t("beats a minute"), "{level}": t("level") };
  return ucum === null ? "" : (said[ucum] ?? ucum);
}
