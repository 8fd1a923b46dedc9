import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { Button } from "../../parts/button.tsx";
import { Empty, List, Row, Section } from "../../parts/card.tsx";
import { useShares } from "../../data/answers.ts";
import { typeTitle } from "../../data/readable.ts";
import { type Schemas, useAccount, useAnswer } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { dayKey, namedDay, timeOfDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

type Entry = Schemas["AuditEntry"];

export default function Audit() {
  const account = useAccount();
  const { value } = useAnswer("audit", async ({ api }) =>
    dataOf(await api.GET("/v1/audit", { params: { query: { limit: 50 } } })),
  );
  const { value: shares } = useShares();
  const later = useSignal<Schemas["AuditPage"] | null>(null);
  const cursor = (later.value ?? value.value.data)?.next_cursor ?? null;
  const more = async () => {
    const query = { limit: 50, cursor: cursor! };
    const page = dataOf(await account.api.GET("/v1/audit", { params: { query } }));
    later.value = { ...page, items: [...(later.value?.items ?? []), ...page.items] };
  };
  const named = (entry: Entry) =>
    shares.value.data?.items.find((one) => one.id === entry.actor_id)?.label ?? t("a share");
  return (
    <Screen title={t("Who looked, and what was changed")} back={to("you")}>
      <Answered answer={value.value}>
        {({ items }) => (
          <>
            {items.length === 0 && <Empty>{t("Nothing yet.")}</Empty>}
            {[...Map.groupBy([...items, ...(later.value?.items ?? [])], (one) => dayKey(one.at))].map(([day, list]) => (
              <Section key={day} title={namedDay(list[0]!.at)}>
                <List>
                  {list.map((entry, at) => (
                    <Row key={entry.at + at}>
                      <span class="number soft small">{timeOfDay(entry.at)}</span> {actionTitle(entry.action)}
                      <div class="soft small">{who(entry, named(entry))}</div>
                    </Row>
                  ))}
                </List>
              </Section>
            ))}
            {cursor !== null && (
              <Button wide onPress={more}>
                {t("Show earlier ones")}
              </Button>
            )}
          </>
        )}
      </Answered>
    </Screen>
  );
}

function who(entry: Entry, share: string): string {
  switch (entry.actor_kind) {
    case "person":
      return t("by you");
    case "share":
      return t("by {name}, whom you let look", { name: share });
    case "operator":
      return t("by whoever runs this server");
    case "system":
      return t("by the server itself");
  }
}

function actionTitle(action: string): string {
  switch (action) {
    case "account.changed": return t("Your account was changed");
    case "import.begun": return t("You chose a file of another app");
    case "import.confirmed": return t("You stored what the file held");
    case "import.undone": return t("You undid an import");
    case "account.exported": return t("All your data was downloaded");
    case "account.imported": return t("An archive was read in");
    case "account.signed_in": return t("Somebody signed in");
    case "account.signed_out": return t("Somewhere was signed out");
    case "account.signed_out_elsewhere": return t("Everywhere else was signed out");
    case "app.allowed": return t("You let an app read");
    case "app.connected": return t("An app began to read");
    case "app.gave_back": return t("An app gave its access back");
    case "app.code_reused":
    case "app.token_reused": return t("An app's access was ended: its key came twice");
    case "consent.given": return t("You agreed to something");
    case "consent.withdrawn": return t("You took something back");
    case "device.claimed": return t("A device became yours");
    case "device.handed_on": return t("A device was to be handed on");
    case "device.released": return t("You let a device go");
    case "device.moved": return t("A device was sent to another server");
    case "device.suspension_lifted": return t("A device was let in again");
    case "diary.read": return t("Your diary was read");
    case "email.changed": return t("Your e-mail address was changed");
    case "identity.linked": return t("Another way to sign in was added");
    case "identity.unlinked": return t("A way to sign in was removed");
    case "insights.read": return t("Your findings were read");
    case "insights.cohort": return t("Your data became part of a summary");
    case "password.reset": return t("A new password was set");
    case "operator.devices_listed": return t("You listed devices");
    case "operator.quarantine_listed": return t("You listed what is in quarantine");
    case "operator.quarantine_replayed": return t("You tried a frame again");
    case "operator.suspension_lifted": return t("You let a device in again");
    case "operator.suspensions_listed": return t("You listed who is kept out");
    case "programme.set": return t("A programme was set");
    case "record.read": return t("Several parts of your record were read");
    case "quarantine.replayed": return t("A frame that was rejected was tried again");
    case "report.read": return t("Your report was read");
    case "sessions.read": return t("Your sessions were read");
    case "share.created": return t("You let somebody look");
    case "share.revoked": return t("You ended a share");
    default: return lookOfApp(action) ?? action;
  }
}

/** What an app looked at: `Observation.read`. */
function lookOfApp(action: string): string | null {
  const type = /^([A-Z]\w+)\.read$/.exec(action)?.[1];
  return type === undefined ? null : t("Read: {what}", { what: typeTitle(type) });
}
