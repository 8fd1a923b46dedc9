import { dataOf } from "@cymba/client";
import { LinkButton } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { titleOf } from "../../data/items.ts";
import { type Schemas, useAnswer, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow, timeOfDay, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";

/** The next prompt, and one of the last hours that nothing was written for. */
export function Prompt() {
  const { value } = useAnswer<Schemas["ReminderPrompts"]>("prompts", async ({ api }) =>
    dataOf(await api.GET("/v1/reminders/next", { params: { query: { count: 20 } } })),
  );
  const last = useCopy(async (account) => {
    const entries = await account.all("diary-entry");
    return Math.max(0, ...entries.map((one) => Date.parse(String(one.fields["felt_at"]))));
  });
  const prompts = value.value.data?.items ?? [];
  const now = Date.now();
  // Prompts are kept from the last time that there was a network, so some may be due meanwhile.
  const due = prompts.findLast((one) => Date.parse(one.at) <= now && Date.parse(one.at) > (last.value ?? now));
  const next = prompts.find((one) => Date.parse(one.at) > now);
  const prompt = due ?? next;
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
