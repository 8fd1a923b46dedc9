/**
 * Every screen, by its path below /app/. Each is loaded when it is first shown, and kept in the
 * app's cache from the start, so that it opens without a network too.
 */

import type { AnyComponent } from "preact";
import { lazy } from "preact-iso";
import type { IconName } from "./parts/icon.tsx";
import { t } from "./shell/language.ts";

export const TOP = "/app";
/** A link to a screen: `to("diary/new")`. */
export const to = (path = "") => `${TOP}/${path}`;

// Each takes the parameters of its own path.
export const SCREENS: Record<string, AnyComponent<any>> = {
  "": lazy(() => import("./screens/today/today.tsx")),
  diary: lazy(() => import("./screens/diary/diary.tsx")),
  "diary/decide": lazy(() => import("./screens/diary/decide.tsx")),
  "diary/:id": lazy(() => import("./screens/diary/entry.tsx")),
  "red-flag": lazy(() => import("./screens/red_flag/red_flag.tsx")),
  sessions: lazy(() => import("./screens/sessions/sessions.tsx")),
  "sessions/by-hand": lazy(() => import("./screens/by_hand/by_hand.tsx")),
  "sessions/:id": lazy(() => import("./screens/session/session.tsx")),
  "sessions/:id/live": lazy(() => import("./screens/session/live.tsx")),
  findings: lazy(() => import("./screens/findings/findings.tsx")),
  "findings/history": lazy(() => import("./screens/history/history.tsx")),
  "findings/report": lazy(() => import("./screens/report/report.tsx")),
  "findings/trials": lazy(() => import("./screens/trial/trials.tsx")),
  "findings/trials/plan": lazy(() => import("./screens/trial/plan.tsx")),
  "findings/trials/:id": lazy(() => import("./screens/trial/trial.tsx")),
  "findings/then/:outcome": lazy(async () => (await import("./screens/findings/course.tsx")).ThenAndNowScreen),
  "findings/side-effect/:item": lazy(async () => (await import("./screens/findings/course.tsx")).SideEffectScreen),
  "findings/:exposure/:outcome": lazy(() => import("./screens/findings/pair.tsx")),
  devices: lazy(() => import("./screens/devices/devices.tsx")),
  "devices/claim": lazy(() => import("./screens/devices/claim.tsx")),
  "devices/screening": lazy(() => import("./screens/devices/screening.tsx")),
  "devices/:id": lazy(() => import("./screens/devices/device.tsx")),
  "devices/:id/programme": lazy(() => import("./screens/devices/programme.tsx")),
  allow: lazy(() => import("./screens/allow/allow.tsx")),
  s: lazy(() => import("./screens/share/share.tsx")),
  you: lazy(() => import("./screens/you/you.tsx")),
  "you/account": lazy(() => import("./screens/you/account.tsx")),
  "you/audit": lazy(() => import("./screens/you/audit.tsx")),
  "you/consents": lazy(() => import("./screens/you/consents.tsx")),
  "you/data": lazy(() => import("./screens/you/data.tsx")),
  "you/imports": lazy(() => import("./screens/you/imports.tsx")),
  "you/shares": lazy(() => import("./screens/you/shares.tsx")),
  "you/sign-ins": lazy(() => import("./screens/you/sign_ins.tsx")),
  operator: lazy(() => import("./screens/operator/operator.tsx")),
  receipt: lazy(() => import("./screens/receipt/receipt.tsx")),
  "sign-in": lazy(() => import("./screens/sign_in/sign_in.tsx")),
};

interface Tab {
  path: string;
  icon: IconName;
  label: () => string;
}

/** At the bottom of a phone; five at most fit under a thumb. A tab holds all that begins with it. */
export const TABS: readonly Tab[] = [
  { path: "", icon: "today", label: () => t("Today") },
  { path: "diary", icon: "diary", label: () => t("Diary") },
  { path: "sessions", icon: "sessions", label: () => t("Sessions") },
  { path: "findings", icon: "insights", label: () => t("Findings") },
  { path: "you", icon: "you", label: () => t("You") },
];
