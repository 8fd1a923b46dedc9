/** What a device is and holds, in words. */

import type { Schemas } from "../../data/use.ts";
import { duration, fromNow, milliampere, number } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";

export function backlogSaid(presence: Schemas["DevicePresence"] | null): string {
  if (presence === null) return t("It never came online.");
  const seen = presence.online ? null : t("Last seen {when}.", { when: fromNow(presence.last_seen_at) });
  return [heldSaid(presence.backlog_frames), seen].filter(Boolean).join(" ");
}

function heldSaid(frames: number | null): string {
  if (frames === null) return t("It may hold recordings that are not uploaded.");
  if (frames === 0) return t("All that it held is here.");
  return tn("It holds {n} piece that is not uploaded.", "It holds {n} pieces that are not uploaded.", frames);
}

export function electrodeSaid(electrode: Schemas["Electrode"]): string {
  switch (electrode.reason) {
    case "doubled":
      return t("Its resistance is twice that of the first sessions. Change it soon.");
    case "high":
      return t("Its resistance is high. Change it soon.");
    case "rising":
      return t("Its resistance rises fast. Change it soon.");
    case "too_few_sessions":
      return t("Too few sessions to say.");
    case "no_impedance":
      return t("This device does not measure it.");
    default:
      return electrode.state === "good" ? t("Good") : t("Not known");
  }
}

type Programme = Schemas["ShownProgramme"];

/** A programme as names with values; what it leaves open is left out. */
export function programmeFacts(one: Programme): [string, string | null][] {
  return [
    [t("Current"), amplitudeSaid(one.amplitude_ua)],
    [t("Level"), one.native_level === null ? null : number(one.native_level)],
    [t("Length of a session"), one.duration_s === null ? null : duration(one.duration_s)],
    [t("On and off"), one.on_s === null || one.off_s === null ? null : t("{on} s on, {off} s off", { on: one.on_s, off: one.off_s })],
    [t("Pulses a second"), one.frequency_hz === null ? null : number(one.frequency_hz, 1)],
    [t("Length of a pulse"), one.pulse_width_us === null ? null : t("{n} millionths of a second", { n: number(one.pulse_width_us) })],
  ];
}

function amplitudeSaid(ua: number | null): string | null {
  if (ua === null) return null;
  return ua === 0 ? t("You find it each time, up to the limit") : milliampere(ua);
}

export function limitFacts(one: Schemas["ProgrammeLimits"]): [string, string | null][] {
  return [
    [t("Highest current"), one.amplitude_ua === undefined ? null : currentLimit(one.amplitude_ua)],
    [t("Highest level"), one.native_level === undefined ? null : number(one.native_level)],
    [t("Longest session"), one.duration_s === undefined ? null : duration(one.duration_s)],
    [t("Most in a day"), one.daily_s === undefined ? null : duration(one.daily_s)],
    [t("Most sessions a day"), one.daily_sessions === undefined ? null : number(one.daily_sessions)],
  ];
}

function currentLimit(ua: number): string {
  return ua === 0 ? t("No current at all") : milliampere(ua);
}

export function stateSaid(version: Schemas["ProgrammeVersion"]): string {
  switch (version.state) {
    case "waiting":
      return t("Waits to be sent");
    case "sent":
      return t("Sent. The device has not said that it took it.");
    case "applied":
      return t("The device holds it");
    case "refused":
      return version.refusal ?? t("The device refused it");
    default:
      return version.state;
  }
}
