/** What is wrong, and what to do about it. */

import type { ComponentChildren } from "preact";
import { codeOf, ProblemError, SignedOut } from "@cymba/client";
import { LinkButton } from "./button.tsx";
import { isOffline, NeedsAccount } from "../data/use.ts";
import { to } from "../routes.tsx";
import { t, tn } from "../shell/language.ts";

export function Banner(props: { kind?: "info" | "warn" | "alarm"; children: ComponentChildren }) {
  return (
    <div class={`banner ${props.kind ?? "info"}`} role={props.kind === "alarm" ? "alert" : "note"}>
      {props.children}
    </div>
  );
}

/** Why something did not work. Nothing where nothing is wrong. */
export function ProblemBanner({ problem }: { problem: unknown }) {
  if (problem === null || problem === undefined) return null;
  if (problem instanceof NeedsAccount || problem instanceof SignedOut) {
    return (
      <Banner>
        <p>{sayProblem(problem)}</p>
        <LinkButton href={to("sign-in")}>{t("Sign in")}</LinkButton>
      </Banner>
    );
  }
  return <Banner kind={isOffline(problem) ? "warn" : "alarm"}>{sayProblem(problem)}</Banner>;
}

/** An error in words for the person: ours where the app knows more, else the server's. */
export function sayProblem(error: unknown): string {
  if (error instanceof NeedsAccount) return t("This needs an account.");
  if (error instanceof SignedOut) return t("Your sign-in has ended. Sign in again.");
  if (isOffline(error)) return t("There is no connection to the server. Try again once there is one.");
  if (!(error instanceof ProblemError)) return t("Something in the app went wrong. Try it once more.");
  const { problem } = error;
  switch (codeOf(problem)) {
    case "wrong-credentials":
      return t("This e-mail address and password do not go together.");
    case "wrong-password":
      return t("That is not your password.");
    case "code-not-good":
      return t("This code is not good, or no longer. Ask for a new one.");
    case "rate":
    case "busy": {
      const seconds = Number(problem["retry_after_s"] ?? Number.NaN);
      if (!Number.isFinite(seconds)) return t("That was too often. Wait a little, then try again.");
      const minutes = Math.max(Math.ceil(seconds / 60), 1);
      return tn("That was too often. Try again in {n} minute.", "That was too often. Try again in {n} minutes.", minutes);
    }
    case "stale":
      return t("This was changed elsewhere meanwhile. Look at it again.");
    case "reauthentication-required":
      return t("Give your password once more for this.");
    case "server":
    case "unavailable":
      return t("The server has a fault just now. Try again later.");
    default:
      return problem.errors[0]?.detail ?? problem.detail;
  }
}

/** What is wrong with one field of what was sent, by its JSON Pointer. */
export function errorAt(error: unknown, pointer: string): string | null {
  if (!(error instanceof ProblemError)) return null;
  return error.problem.errors.find((one) => one.pointer === pointer)?.detail ?? null;
}
