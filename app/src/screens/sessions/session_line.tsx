/** A session in a line, wherever one is named. */

import { Unsent } from "../../parts/card.tsx";
import type { Account } from "../../data/account.ts";
import type { Schemas } from "../../data/use.ts";
import { duration, number, timeOfDay, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

export type Session = Schemas["Session"];

export interface SessionShown {
  id: string;
  /** What was written down and is not sent yet has only the fields that the person gave. */
  fields: Partial<Session> & { duration_s?: number };
  unsent: boolean;
  /** What the person calls the device, or its model. */
  device: string;
}

/** Every session that counts, the latest first: one that several recorded is there once. */
export async function sessionsShown(account: Account): Promise<SessionShown[]> {
  const all = await account.all("session");
  const devices = new Map(
    (await account.copies("device")).map((one) => [one.id, String(one["name"] || one["model_title"])]),
  );
  return all
    .map(({ id, fields, unsent }) => ({ id, fields: fields as SessionShown["fields"], unsent }))
    .filter(({ fields }) => !fields.shown_with)
    .map((one) => ({
      ...one,
      device: devices.get(one.fields.device_id ?? "") ?? one.fields.model ?? one.fields.device_id ?? "",
    }))
    .sort((one, other) => (one.fields.started_at! < other.fields.started_at! ? 1 : -1));
}

export function lengthOf({ fields }: SessionShown): number | null {
  if (fields.ended_at) return (Date.parse(fields.ended_at) - Date.parse(fields.started_at!)) / 1000;
  return fields.duration_s ?? null;
}

export function SessionLine({ session, withDay = true }: { session: SessionShown; withDay?: boolean }) {
  const { fields } = session;
  const seconds = lengthOf(session);
  const facts = [
    fields.state === "open" ? t("running") : seconds !== null && duration(seconds),
    session.device,
    fields.mean_amplitude_ua != null && t("{current} mA on average", { current: number(fields.mean_amplitude_ua / 1000, 2) }),
    fields.recorder === "person" && t("entered by hand"),
  ].filter(Boolean);
  return (
    <>
      <span class="spread">
        <span class="number">{(withDay ? when : timeOfDay)(fields.started_at!, fields.time_zone)}</span>
        {session.unsent && <Unsent />}
        {fields.state === "open" && <span class="mark good">{t("Running")}</span>}
      </span>
      <span class="soft small">{facts.join(" · ")}</span>
    </>
  );
}
