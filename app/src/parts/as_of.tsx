import { when } from "../shell/format.ts";
import { t } from "../shell/language.ts";

/** How old what is shown is: without a network it may be of some days ago. */
export function AsOf({ readAt }: { readAt: string | null }) {
  if (readAt === null) return null;
  return <p class="soft small">{t("Read: {when}", { when: when(readAt) })}</p>;
}
