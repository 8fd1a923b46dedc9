/** A session's codes in words. An unknown one of a later server is shown as it is. */

import type { Schemas } from "../../data/use.ts";
import { t } from "../../shell/language.ts";

export type Session = Schemas["Session"];

export function endSaid(reason: string): string {
  const said: Record<string, string> = {
    completed: t("It ran to its end"),
    user_stop: t("You stopped it"),
    user_pause_timeout: t("It stood paused for too long"),
    lead_off: t("The electrode had no contact"),
    high_impedance: t("The electrode's resistance was too high"),
    short_circuit: t("The device found a short circuit"),
    compliance_limit: t("The device reached its highest voltage"),
    overcurrent: t("The device found too high a current"),
    charge_limit: t("The charge for one session was reached"),
    daily_dose_lockout: t("The dose for one day was reached"),
    battery_low: t("The battery was low"),
    over_temperature: t("The device was too warm"),
    watchdog_reset: t("The device started anew by itself"),
    power_loss: t("The device lost its power"),
    firmware_fault: t("The device found a fault in itself"),
    self_test_failed: t("The device's test of itself failed"),
    hr_low_stop: t("Your heart rate was low"),
    discomfort_reported: t("You told the device that it was unpleasant"),
    device_lock_contraindication: t("The device was locked for your safety"),
    unknown_inferred: t("Its end did not reach us"),
  };
  return said[reason] ?? reason;
}

export function timeSourceSaid(session: Pick<Session, "time_source" | "time_error_ms">): string | null {
  switch (session.time_source) {
    case "anchored":
    case "device_clock":
      return errorSaid(session.time_error_ms);
    case "between_boots":
      return t("The device lost its clock. We only know between which two moments it was.");
    case "arrival":
      return t("The device had no clock. This is when its data came here.");
    case "phone":
      return t("By your phone's clock");
    case "person":
      return t("As you wrote it down");
    default:
      return null;
  }
}

function errorSaid(error_ms: number | null | undefined): string | null {
  if (error_ms === null || error_ms === undefined) return null;
  if (error_ms < 1_000) return t("Exact to a second");
  if (error_ms < 60_000) return t("Within {n} s", { n: Math.ceil(error_ms / 1_000) });
  if (error_ms < 7_200_000) return t("Within {n} min", { n: Math.ceil(error_ms / 60_000) });
  return t("Within {n} h", { n: Math.ceil(error_ms / 3_600_000) });
}

export function doubtSaid(doubt: string): string {
  const said: Record<string, string> = {
    starts_twice: t("Two starts came under one name, so it may be two sessions."),
    clock_falls: t("The device's clock went backwards in it, so its times may be wrong."),
    counter_falls: t("A counter went backwards in it, so a figure may be wrong."),
  };
  return said[doubt] ?? doubt;
}

export function siteSaid(site: string | null | undefined): string | null {
  if (site === null || site === undefined) return null;
  const said: Record<string, string> = {
    cymba_conchae: t("Hollow of the ear (cymba conchae)"),
    tragus: t("Tragus"),
    neck: t("Neck"),
    other: t("Another place"),
  };
  return said[site] ?? site;
}

export function sideSaid(side: string | null | undefined): string | null {
  if (side === null || side === undefined) return null;
  return { left: t("left"), right: t("right"), both: t("both sides") }[side] ?? side;
}

/** What happened, such as a pause: the device's own word where the app knows no other. */
export function eventSaid(name: string): string {
  const said: Record<string, string> = {
    start: t("Start"),
    end: t("End"),
    reboot: t("The device started anew"),
    pause: t("Pause"),
    resume: t("Goes on"),
    lead_off: t("Contact lost"),
    lead_on: t("Contact again"),
  };
  return said[name] ?? name.replaceAll("_", " ");
}
