/** Answers that several screens read, or that are read ahead: under one key each. */

import { dataOf, ProblemError } from "@cymba/client";
import type { Account } from "./account.ts";
import { drawn, lookFor, type Pictured, pictureKey } from "./pictures.ts";
import { useAnswer } from "./use.ts";

/** What is small and looked at most: it is read before it is asked for, so it is here without a network. */
const AHEAD = {
  devices: async ({ api }: Account) => dataOf(await api.GET("/v1/devices")),
  models: async ({ api }: Account) => dataOf(await api.GET("/v1/models")),
  correlations: async ({ api }: Account) => dataOf(await api.GET("/v1/insights/correlations")),
  response: async ({ api }: Account) => dataOf(await api.GET("/v1/insights/response")),
  "side-effects": async ({ api }: Account) => dataOf(await api.GET("/v1/insights/side-effects")),
  trials: async ({ api }: Account) => dataOf(await api.GET("/v1/experiments")),
  "history day": historyBy("day"),
  "history week": historyBy("week"),
  "history month": historyBy("month"),
};
const FRESH_MS = 12 * 60 * 60 * 1000;

export type Length = "day" | "week" | "month";

function historyBy(period: Length) {
  return async ({ api }: Account) => dataOf(await api.GET("/v1/history", { params: { query: { period } } }));
}

/**
 * Read ahead what is not kept yet, or kept for long; one after the other, while there is a network:
 * the answers above, and what was found with its pictures.
 */
export async function readAhead(account: Account): Promise<void> {
  const { correlations, response, "side-effects": sideEffects, ...others } = AHEAD;
  for (const [key, read] of Object.entries(others)) await ahead<unknown>(account, key, read);
  const found = await ahead(account, "correlations", correlations);
  const then = await ahead(account, "response", response);
  const felt = await ahead(account, "side-effects", sideEffects);
  for (const { exposure, outcome, lag } of found?.primary ?? []) {
    const pair = await ahead(account, pairKey(exposure, outcome, lag), readPair(exposure, outcome, lag));
    if ((pair?.points.length ?? 0) > 0) await pictureAhead(account, pairPicture(exposure, outcome, lag));
  }
  for (const { grade, outcome } of then?.items ?? []) {
    if (grade !== "not_enough") await pictureAhead(account, thenAndNowPicture(outcome));
  }
  for (const { answers, item } of felt?.items ?? []) {
    if (answers > 0) await pictureAhead(account, sideEffectPicture(item));
  }
}

async function pictureAhead(account: Account, of: Pictured): Promise<void> {
  await ahead(account, pictureKey(of), async () => await drawn(account, of, lookFor(document.body.clientWidth)));
}

/** What is kept and fresh, or read now; null where the server has a reason, such as no consent. */
async function ahead<T>(account: Account, key: string, read: (account: Account) => Promise<T>): Promise<T | null> {
  const kept = await account.kept(key);
  if (kept !== null && Date.now() - Date.parse(kept.readAt) < FRESH_MS) return kept.body as T;
  try {
    const found = await read(account);
    await account.keep(key, found);
    return found;
  } catch (error) {
    if (error instanceof ProblemError) return null;
    throw error;
  }
}

function pairKey(exposure: string, outcome: string, lag: number | undefined): string {
  return `pair ${exposure} ${outcome} ${lag ?? ""}`;
}

function readPair(exposure: string, outcome: string, lag: number | undefined) {
  return async ({ api }: Account) =>
    dataOf(
      await api.GET("/v1/insights/correlations/{exposure}/{outcome}", {
        params: { path: { exposure, outcome }, query: lag === undefined ? {} : { lag } },
      }),
    );
}

export function pairPicture(exposure: string, outcome: string, lag: number | undefined): Pictured {
  const query: Record<string, string> = lag === undefined ? {} : { lag: String(lag) };
  return { path: `/v1/insights/correlations/${exposure}/${outcome}/plot.svg`, query };
}

export function thenAndNowPicture(outcome: string): Pictured {
  return { path: `/v1/insights/response/${outcome}/plot.svg` };
}

export function sideEffectPicture(item: string): Pictured {
  return { path: `/v1/insights/side-effects/${item}/plot.svg` };
}

/** `lag`: that of the finding, if absent. */
export function usePair(exposure: string, outcome: string, lag: number | undefined) {
  return useAnswer(pairKey(exposure, outcome, lag), readPair(exposure, outcome, lag));
}

export function useDevices() {
  return useAnswer("devices", AHEAD.devices);
}

export function useModels() {
  return useAnswer("models", AHEAD.models);
}

export function useCorrelations() {
  return useAnswer("correlations", AHEAD.correlations);
}

export function useThenAndNow() {
  return useAnswer("response", AHEAD.response);
}

export function useSideEffects() {
  return useAnswer("side-effects", AHEAD["side-effects"]);
}

export function useTrials() {
  return useAnswer("trials", AHEAD.trials);
}

export function useHistory(by: Length) {
  const key = `history ${by}` as const;
  return useAnswer(key, AHEAD[key]);
}

export function useDevice(device_id: string) {
  return useAnswer(`device ${device_id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/devices/{device_id}", { params: { path: { device_id } } })),
  );
}

export function useProgramme(device_id: string) {
  return useAnswer(`programme ${device_id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/devices/{device_id}/programme", { params: { path: { device_id } } })),
  );
}

/** With another `turn` it is read once more. */
export function useScreening(turn?: string) {
  return useAnswer("screening", async ({ api }) => dataOf(await api.GET("/v1/screening")), turn);
}

export function useSession(session_id: string) {
  return useAnswer(`session ${session_id}`, async ({ api }) =>
    dataOf(await api.GET("/v1/sessions/{session_id}", { params: { path: { session_id } } })),
  );
}

export function useShares() {
  return useAnswer("shares", async ({ api }) => dataOf(await api.GET("/v1/shares")));
}
