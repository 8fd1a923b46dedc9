/** A session as it runs. Nothing here starts or stops it: that is the device's alone. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { Banner, ProblemBanner } from "../../parts/banner.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Busy, Card } from "../../parts/card.tsx";
import { Chart } from "../../parts/chart.tsx";
import { useSession } from "../../data/answers.ts";
import { type Schemas, useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { useClock } from "../../shell/clock.ts";
import { duration, fromNow, milliampere, number, timeOfDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { follow, type Followed } from "./following.ts";
import { endSaid, eventSaid } from "./words.ts";

const OLD_MS = 60_000; // a device sends every ten seconds

export default function Live({ id }: { id: string }) {
  const account = useAccount();
  const followed = useSignal<Followed | null>(null);
  useEffect(() => {
    const { state, stop } = follow(account, id);
    const ends = state.subscribe((now) => void (followed.value = now));
    return () => {
      ends();
      stop();
    };
  }, [account, id]);
  const { value } = useSession(id);
  const seen = followed.value;
  return (
    <Screen title={seen?.stop ? t("Session") : t("Running session")} back={to(`sessions/${id}`)}>
      {seen === null || seen.connection === "connecting" ? (
        <Busy />
      ) : (
        <Now seen={seen} session={value.value.data} />
      )}
      {seen !== null && seen.connection === "over" && (
        <LinkButton href={to(`sessions/${id}`)} look="main" wide>
          {t("Look at the whole session")}
        </LinkButton>
      )}
    </Screen>
  );
}

function Now({ seen, session }: { seen: Followed; session: Schemas["Session"] | null }) {
  const { connection, last, stop } = seen;
  const newest_ms = newestIn(seen);
  const programme = seen.start?.programme ?? session?.programme ?? null;
  const begun_ms = Date.parse(seen.start?.at ?? session?.started_at ?? "");
  const left_s = programme?.duration_s && newest_ms ? programme.duration_s - (newest_ms - begun_ms) / 1000 : null;
  return (
    <>
      <Freshness seen={seen} />
      {typeof connection === "object" && <ProblemBanner problem={connection.problem} />}
      <div class="tiles">
        <Tile title={t("Current")} value={last[currentIn(seen)]} said={milliampere} />
        <Tile title={t("Level")} value={last["native_level"]} said={(one) => number(one)} />
        <Tile title={t("Resistance of the electrode")} value={last["impedance_ohm"]} said={kiloohm} />
        <Tile title={t("Heart rate")} value={last["heart_rate_bpm"]} said={(one) => t("{n} a minute", { n: number(one) })} />
        {left_s !== null && stop === null && (
          <div class="tile">
            <span class="soft small">{t("Time left")}</span>
            <strong class="number">{left_s > 0 ? duration(left_s) : t("about to end")}</strong>
          </div>
        )}
      </div>
      {stop === null && (
        <Banner>
          <strong>{t("To stop, use the device.")}</strong>
          <p>{t("This page only shows. Press the device's own button, or take the electrode off.")}</p>
        </Banner>
      )}
      <Curves seen={seen} zone={session?.time_zone} />
      {seen.happened.length > 0 && (
        <Card title={t("What happened")}>
          <ul>
            {seen.happened.slice(-8).map((one) => (
              <li key={`${one.store} ${one.seq}`}>
                <span class="number soft">{timeOfDay(one.at, session?.time_zone)}</span> {eventSaid(one.name)}
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

function newestIn({ readings }: Followed): number | null {
  return readings.at(-1)?.at_ms ?? null;
}

/** By the clock, which beats here alone: the curves are drawn anew only for new readings. */
function Freshness({ seen }: { seen: Followed }) {
  const now_ms = useClock();
  const { connection, stop } = seen;
  const newest_ms = newestIn(seen);
  const isOld = newest_ms !== null && now_ms - newest_ms > OLD_MS && stop === null;
  return (
    <>
      <p role="status" class="row">
        {stop !== null ? (
          <span class="mark">{t("It has ended: {why}.", { why: endSaid(stop.end_reason) })}</span>
        ) : connection === "live" && !isOld ? (
          <span class="mark good">{t("Live")}</span>
        ) : (
          <span class="mark warn">{t("Nothing new arrives just now")}</span>
        )}
      </p>
      {isOld && (
        <Banner kind="warn">
          {t("The last reading is of {when}. Look at the device itself: it goes on without a connection.", {
            when: fromNow(new Date(newest_ms), now_ms),
          })}
        </Banner>
      )}
    </>
  );
}

function Tile(props: { title: string; value: { value: number } | undefined; said: (value: number) => string }) {
  if (props.value === undefined) return null;
  return (
    <div class="tile">
      <span class="soft small">{props.title}</span>
      <strong class="number">{props.said(props.value.value)}</strong>
    </div>
  );
}

/** What is delivered, where the device measures it; else what is set. */
function currentIn({ last }: Followed): string {
  return last["amplitude_delivered_ua"] === undefined ? "amplitude_ua" : "amplitude_delivered_ua";
}

const kiloohm = (ohm: number) => `${number(ohm / 1000, 1)} kΩ`;

function Curves({ seen, zone }: { seen: Followed; zone: string | undefined }) {
  const at_s = seen.readings.map((one) => one.at_ms / 1000);
  if (at_s.length < 2) return null;
  const shown = [
    { channel: currentIn(seen), title: t("Current"), unit: "mA", scale: 1000 },
    { channel: "native_level", title: t("Level"), unit: t("level"), scale: 1 },
    { channel: "heart_rate_bpm", title: t("Heart rate"), unit: t("beats a minute"), scale: 1 },
  ].filter(({ channel }) => seen.last[channel] !== undefined);
  return (
    <>
      {shown.map(({ channel, title, unit, scale }) => (
        <Chart
          key={channel}
          zone={zone ?? "UTC"}
          alt={t("{title} over the last minutes; the number above is the newest.", { title })}
          line={{ title, unit, at_s, values: seen.readings.map((one) => scaled(one.values[channel], scale)) }}
        />
      ))}
    </>
  );
}

function scaled(value: number | null | undefined, scale: number): number | null {
  return value == null ? null : value / scale;
}
