import { dataOf } from "@cymba/client";
import { type Schemas, useAnswer } from "../../data/use.ts";
import { timeOfDay } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { eventSaid } from "./words.ts";

export function Events({ id, zone }: { id: string; zone: string }) {
  const { value } = useAnswer<Schemas["SessionEvents"]>(`events ${id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/sessions/{session_id}/events", { params: { path: { session_id: id } } })),
  );
  const items = value.value.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <details class="unfolds">
      <summary>{tn("What happened: {n} thing", "What happened: {n} things", items.length)}</summary>
      <ul class="stack tight" aria-label={t("What happened")}>
        {items.map((one) => (
          <li key={`${one.offset_ms} ${one.name}`}>
            <span class="number soft">{timeOfDay(one.at, zone)}</span> {eventSaid(one.name)}
          </li>
        ))}
      </ul>
    </details>
  );
}
