/** Answers that several screens read: under one key each, so what one has read another shows. */

import { dataOf } from "@cymba/client";
import { useAnswer } from "./use.ts";

export function useDevices() {
  return useAnswer("devices", async ({ api }) => dataOf(await api.GET("/v1/devices")));
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

export function useModels() {
  return useAnswer("models", async ({ api }) => dataOf(await api.GET("/v1/models")));
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

export function useThenAndNow() {
  return useAnswer("response", async ({ api }) => dataOf(await api.GET("/v1/insights/response")));
}

export function useSideEffects() {
  return useAnswer("side-effects", async ({ api }) => dataOf(await api.GET("/v1/insights/side-effects")));
}

export function useShares() {
  return useAnswer("shares", async ({ api }) => dataOf(await api.GET("/v1/shares")));
}
