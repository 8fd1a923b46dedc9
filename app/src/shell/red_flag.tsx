/** A symptom that needs care at once stands above every screen, until a clinician has looked at it. */

import { useRef } from "preact/hooks";
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

/** The server's flags, and those of entries that it has not seen yet or was just sent. */
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
  const { data, readAt } = value.value;
  const standing = data?.red_flags ?? [];
  const own = unsent.value ?? [];
  const sent = useJustSent(own, account.syncedAt.value, readAt).filter((flag) => !isAmong(standing, flag));
  return { flags: [...standing, ...sent, ...own], screening: data };
}

/** Those that left `own`, until the server's were read after the next sync: they are never gone in between. */
function useJustSent(own: StandingFlag[], syncedAt: Date | null, readAt: string | null): StandingFlag[] {
  const last = useRef<{ own: StandingFlag[]; sent: StandingFlag[]; syncedAt: Date | null }>({ own, sent: [], syncedAt });
  const before = last.current;
  const gone = before.own.filter((flag) => !isAmong(own, flag));
  if (gone.length > 0) {
    last.current = { own, sent: [...before.sent, ...gone], syncedAt };
  } else {
    const isRead = syncedAt !== null && syncedAt !== before.syncedAt && readAt !== null && new Date(readAt) >= syncedAt;
    last.current = isRead ? { own, sent: [], syncedAt } : { ...before, own };
  }
  return last.current.sent;
}

function isAmong(flags: StandingFlag[], flag: StandingFlag): boolean {
  return flags.some((one) => one.symptom === flag.symptom && Date.parse(one.felt_at) === Date.parse(flag.felt_at));
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
