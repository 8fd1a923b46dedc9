import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Card } from "../../parts/card.tsx";
import { Choice, Select } from "../../parts/field.tsx";
import { Picture } from "../../parts/picture.tsx";
import { titleOf } from "../../data/items.ts";
import { type Schemas, useAnswer } from "../../data/use.ts";
import { t } from "../../shell/language.ts";

type Kind = "timeline" | "calendar" | "around-sessions";

/** A symptom with the sessions as marks, as a calendar, and around the hours of use. */
export function SymptomPictures({ items }: { items: Schemas["HistoryPeriod"][] }) {
  const rated = [...new Set(items.flatMap((one) => (one.symptoms ?? []).map((of) => of.item)))];
  const symptom = useSignal("pain_now");
  const kind = useSignal<Kind>("timeline");
  if (rated.length === 0) return null;
  const shown = rated.includes(symptom.value) ? symptom.value : rated[0]!;
  const days = { from: items[0]!.first_day, to: items.at(-1)!.last_day };
  return (
    <Card title={t("How you felt")}>
      <Select
        label={t("Symptom")}
        value={shown}
        options={rated.map((name) => ({ value: name, label: titleOf(name) }))}
        onChange={(value) => (symptom.value = value)}
      />
      <Choice
        label={t("As")}
        value={kind.value}
        options={[
          { value: "timeline", label: t("Line") },
          { value: "calendar", label: t("Calendar") },
          { value: "around-sessions", label: t("Around sessions") },
        ]}
        onChange={(value) => (kind.value = value)}
      />
      <OnePicture key={`${shown} ${kind.value} ${days.from}`} symptom={shown} kind={kind.value} days={days} />
    </Card>
  );
}

function OnePicture(props: { symptom: string; kind: Kind; days: { from: string; to: string } }) {
  const { symptom, kind, days } = props;
  const { value } = useAnswer<Schemas["SymptomPicture"] | null>(`picture ${symptom} ${kind} ${days.from} ${days.to}`, async ({ api }) =>
    dataOf(
      await api.GET("/v1/history/{symptom}/{picture}", {
        params: { path: { symptom, picture: kind }, query: days },
      }),
    ),
  );
  const found = value.value.data;
  if (found === null) {
    return value.value.problem === null ? null : (
      <p class="soft">{t("There is no such picture of this symptom.")}</p>
    );
  }
  return <Picture path={`/v1/history/${symptom}/${kind}/plot.svg`} query={days} alt={found.alt} />;
}
