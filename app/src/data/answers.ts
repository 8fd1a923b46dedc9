/** Answers that several screens read, or that are read ahead: under one key each. */

import { dataOf, ProblemError } from "@cymba/client";
import type { Account } from "./account.ts";
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

/** Read ahead what is not kept yet, or kept for long; one after the other, while there is a network. */
export async function readAhead(account: Account): Promise<void> {
  for (const [key, read] of Object.entries(AHEAD)) {
    const kept = await account.kept(key);
    if (kept !== null && Date.now() - Date.parse(kept.readAt) < FRESH_MS) continue;
    try {
      await account.keep(key, await read(account));
    } catch (error) {
      if (!(error instanceof ProblemError)) throw error; // else the server has a reason, such as no consent
    }
  }
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
