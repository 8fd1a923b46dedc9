/** One session: what it was, its readings over time, and what the person says of it. */

import { Unanswered } from "../../parts/answered.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Card, Unsent } from "../../parts/card.tsx";
import { Facts } from "../../parts/facts.tsx";
import { useSession } from "../../data/answers.ts";
import { type Schemas, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { duration, milliampere, namedDay, number, percent, timeOfDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Events } from "./events.tsx";
import { Own } from "./own.tsx";
import { Readings } from "./readings.tsx";
import { doubtSaid, endSaid, type Session, sideSaid, siteSaid, timeSourceSaid } from "./words.ts";

export default function SessionScreen({ id }: { id: string }) {
  const copy = useCopy(async (account) => await account.one("session", id));
  const { value, again } = useSession(id);
  // The copy is there without a network; what it has not (a session not sent yet) is left out.
  const session = (copy.value?.fields ?? value.value.data) as Partial<Session> | null;
  if (session === null) {
    return (
      <Screen title={t("Session")} back={to("sessions")}>
        <Unanswered problem={value.value.problem} />
      </Screen>
    );
  }
  const zone = session.time_zone!;
  return (
    <Screen title={namedDay(session.started_at!, zone)} back={to("sessions")}>
      {copy.value?.unsent === true && (
        <p>
          <Unsent />
        </p>
      )}
      {session.state === "open" && (
        <LinkButton href={to(`sessions/${id}/live`)} look="main" wide>
          {t("Follow it as it runs")}
        </LinkButton>
      )}
      <Card>
        <Facts of={factsOf(session)} />
        {(session.doubts ?? []).map((doubt) => (
          <p key={doubt} class="small">
            {doubtSaid(doubt)}
          </p>
        ))}
      </Card>
      {session.recorder === "device" && <Readings id={id} zone={zone} isOpen={session.state === "open"} />}
      {session.recorder === "device" && <Events id={id} zone={zone} />}
      <Own id={id} session={session} onChanged={again} />
    </Screen>
  );
}

function factsOf(one: Partial<Session>): [string, string | null][] {
  const zone = one.time_zone!;
  const end = one.ended_at ? timeOfDay(one.ended_at, zone) : null;
  const start = timeOfDay(one.started_at!, zone);
  const place = [siteSaid(one.site ?? one.programme?.site), sideSaid(one.side ?? one.programme?.side)];
  const missing = one.completeness != null && one.completeness < 1 ? percent(one.completeness) : null;
  return [
    [t("Time"), end === null ? start : t("{start} to {end}", { start, end })],
    [t("How sure the time is"), timeSourceSaid(one as Session)],
    [t("With current"), one.stimulating_s == null ? null : duration(one.stimulating_s)],
    [t("Current on average"), one.mean_amplitude_ua == null ? null : milliampere(one.mean_amplitude_ua)],
    [t("Level on average"), one.mean_native_level == null ? null : number(one.mean_native_level, 1)],
    [t("Charge"), one.delivered_charge_uc == null ? null : t("{n} mC", { n: number(one.delivered_charge_uc / 1000, 2) })],
    [t("Without contact"), one.contact_lost_s ? duration(one.contact_lost_s) : null],
    [t("Heart rate before"), beats(one.heart_rate_before_bpm)],
    [t("Heart rate during"), beats(one.heart_rate_during_bpm)],
    [t("Place"), place.filter(Boolean).join(", ") || null],
    [t("Why it ended"), one.end_reason == null ? null : endSaid(one.end_reason)],
    [t("Of its data is here"), missing],
    [t("Who recorded it"), recorderSaid(one.recorder)],
  ];
}

function beats(bpm: number | null | undefined): string | null {
  return bpm == null ? null : t("{n} beats a minute", { n: number(bpm) });
}

function recorderSaid(recorder: Schemas["Session"]["recorder"] | undefined): string | null {
  if (recorder === "phone") return t("A timer on a phone");
  if (recorder === "person") return t("You, by hand");
  return recorder === "device" ? t("The device") : null;
}
