/**
 * A new version of the app: it waits until the person takes it, or until all of its tabs are closed.
 *
 * What is kept on the device is not the service worker's: databases stay as they are, and a version
 * that needs another form of them raises theirs (Dexie's `version`).
 */

import { registerSW } from "virtual:pwa-register";
import { say } from "../parts/toast.tsx";
import { t } from "./language.ts";

const LOOK_EVERY_MS = 60 * 60 * 1000;
const WORKER = `${import.meta.env.BASE_URL}sw.js`;

/** Let the page's policy (Trusted Types) take this one name of a script, and no text for one. */
function trustTheWorker(): void {
  window.trustedTypes?.createPolicy("default", {
    createScriptURL: (url) => (url === WORKER ? url : null),
  });
}

export function followUpdates(): void {
  trustTheWorker();
  const take = registerSW({
    onNeedRefresh: () =>
      say(t("A new version of Cymba is ready."), {
        label: t("Use it"),
        run: async () => await take(true),
      }),
    onRegisteredSW: (_, registration) => {
      setInterval(() => void registration?.update().catch(() => undefined), LOOK_EVERY_MS);
    },
  });
}
