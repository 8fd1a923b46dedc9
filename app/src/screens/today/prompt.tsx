import { dataOf } from "@cymba/client";
import { LinkButton } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { titleOf } from "../../data/items.ts";
import { type Schemas, useAnswer, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import type { Account } from "../../data/account.ts";
import { DAY_MS, dayKey, fromNow, here, momentOf, timeOfDay, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

/** How long a prompt that was not answered stays. */
const STAYS_MS = 12 * 60 * 60 * 1000;

interface Due {
  at: string;
  items: readonly string[];
}

/** The next prompt, or the latest of the last hours that nothing was written for. */
export function Prompt() {
  const { value } = useAnswer<Schemas["ReminderPrompts"]>("prompts", async ({ api }) =>
    dataOf(await api.GET("/v1/reminders/next", { params: { query: { count: 20 } } })),
  );
  const due = useCopy(latestDue).value ?? undefined;
  // These may be from the last time that there was a network, so some have passed meanwhile.
  const prompts: Due[] = value.value.data?.items ?? [];
  const prompt = due ?? prompts.find((one) => Date.parse(one.at) > Date.now());
  if (prompt === undefined) return null;
  const items = prompt.items.map(titleOf).join(", ");
  return (
    <Card title={prompt === due ? t("It is time for your diary") : t("Next prompt")}>
      <p>
        {prompt === due ? timeOfDay(prompt.at) : t("{when}, {far}", { when: when(prompt.at), far: fromNow(prompt.at) })}
        {items !== "" && <span class="soft"> · {items}</span>}
      </p>
      {prompt === due && (
        <LinkButton look="main" href={to(`diary/new?items=${prompt.items.join(",")}`)} wide>
          {t("Answer now")}
        </LinkButton>
      )}
    </Card>
  );
}

/** By the reminders' times of day. One at the usual hour of sessions is the server's to tell. */
async function latestDue(account: Account): Promise<Due | null> {
  const profile = (await account.kept("account"))?.body as Schemas["Account"] | undefined;
  const zone = profile?.time_zone ?? here;
  const entries = await account.all("diary-entry");
  const last = Math.max(0, ...entries.map((one) => Date.parse(String(one.fields["felt_at"]))));
  const now = Date.now();
  const reminders = (await account.copies("reminder")) as unknown as Schemas["Reminder"][];
  return reminders
    .filter((one) => one.enabled !== false && !one.at_usual_hour)
    .flatMap((one) =>
      [now - DAY_MS, now].flatMap((day) => {
        const key = dayKey(new Date(day), zone);
        const weekday = new Date(`${key}T12:00:00Z`).getUTCDay() || 7;
        if (!one.weekdays.includes(weekday)) return [];
        const moments = one.local_times.map((time) => momentOf(`${key}T${time}`, zone)?.getTime() ?? 0);
        return moments.map((at) => ({ at, items: one.items }));
      }),
    )
    .filter(({ at }) => at <= now && at > Math.max(last, now - STAYS_MS))
    .sort((one, other) => other.at - one.at)
    .map(({ at, items }) => ({ at: new Date(at).toISOString(), items }))[0] ?? null;
}
