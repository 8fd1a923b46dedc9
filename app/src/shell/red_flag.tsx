/** A symptom that needs care at once stands above every screen, until a clinician has looked at it. */

import { LinkButton } from "../parts/button.tsx";
import { Icon } from "../parts/icon.tsx";
import { redFlagsIn, titleOf } from "../data/items.ts";
import { useScreening } from "../data/answers.ts";
import { type Schemas, useAccount, useCopy } from "../data/use.ts";
import { to } from "../routes.tsx";
import { t } from "./language.ts";

export interface StandingFlag {
  symptom: string;
  felt_at: string;
}

/** The server's flags, and those of entries that it has not seen yet. */
export function useRedFlags(): { flags: StandingFlag[]; screening: Schemas["Screening"] | null } {
  const account = useAccount();
  const unsent = useCopy(async (one) => {
    const entries = await one.all("diary-entry");
    return entries
      .filter((entry) => entry.unsent || one.isNobody)
      .flatMap(({ fields }) =>
        redFlagsIn((fields["items"] ?? {}) as Record<string, unknown>).map((symptom) => ({
          symptom,
          felt_at: String(fields["felt_at"]),
        })),
      );
  });
  const read = account.syncedAt.value?.toISOString() ?? "first";
  const { value } = useScreening(read);
  const standing = value.value.data?.red_flags ?? [];
  return { flags: [...standing, ...(unsent.value ?? [])], screening: value.value.data };
}

export function RedFlag() {
  const { flags } = useRedFlags();
  const [first] = flags;
  if (first === undefined) return null;
  const names = [...new Set(flags.map((one) => titleOf(one.symptom)))].join(", ");
  return (
    <div class="red-flag" role="alert">
      <div class="banner flag">
        <strong class="row">
          <Icon name="warning" />
          {names}
        </strong>
        <span>
          {t("Stop using the device and seek medical care now. In an emergency call your local emergency number.")}
        </span>
        <div class="row">
          <LinkButton href={to("red-flag")}>{t("What happens now")}</LinkButton>
        </div>
      </div>
    </div>
  );
}
