/** Names of what an installation is made of. */

import { t } from "../../shell/language.ts";

export const STATES = ["online", "offline", "unseen", "unclaimed", "suspended", "revoked"] as const;

export function stateWord(state: string): string {
  switch (state) {
    case "online": return t("Online");
    case "offline": return t("Offline");
    case "unseen": return t("Never connected");
    case "unclaimed": return t("Held by nobody");
    case "suspended": return t("Kept out for now");
    case "revoked": return t("Revoked");
    default: return state;
  }
}

export function queueWord(queue: string): string {
  switch (queue) {
    case "summaries": return t("Sessions to sum up");
    case "findings": return t("Accounts to compute");
    case "imports": return t("Files to read");
    case "mails": return t("Mails to send");
    case "programmes": return t("Programmes to send");
    default: return queue;
  }
}

/** `bridge-0` is a bridge. */
export function partWord(process: string): string {
  switch (process.split("-")[0]) {
    case "api": return t("API");
    case "bridge": return t("Bridge to the devices");
    case "seal": return t("Sessions");
    case "insights": return t("Findings");
    case "imports": return t("Files from other apps");
    case "mail": return t("Mail");
    case "passwords": return t("Passwords of the broker");
    case "watch": return t("Watch");
    default: return process;
  }
}
