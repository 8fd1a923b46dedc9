import type { Schemas } from "../../data/use.ts";
import { t } from "../../shell/language.ts";

/** Whether a device has a connection just now. */
export function Connected({ presence }: { presence: Schemas["DevicePresence"] | null }) {
  return presence?.online === true ? (
    <span class="mark good">{t("Connected")}</span>
  ) : (
    <span class="mark">{t("Not connected")}</span>
  );
}
