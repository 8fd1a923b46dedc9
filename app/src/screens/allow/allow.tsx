/**
 * An app of others asks to read: who it is, what it would read, and how long. Its request is in the
 * fragment, as it came. The yes is a request with the person's own token, so no other page can make
 * it; and no page may frame this one.
 */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Button } from "../../parts/button.tsx";
import { Card, Empty } from "../../parts/card.tsx";
import { Choice, Choices } from "../../parts/field.tsx";
import { typeIn, typesIn, typeTitle } from "../../data/readable.ts";
import { resident } from "../../data/residents.ts";
import { type Schemas, useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { DAY_MS } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import SignIn from "../sign_in/sign_in.tsx";
import { useProof } from "../you/proof.tsx";

const READS_ON = "offline_access";
/** In days; 0 is an hour, which every app gets at least. */
const LENGTHS = [0, 1, 30, 90, 365] as const;

export default function Allow() {
  const account = useAccount();
  const query = location.hash.slice(1);
  if (query === "") {
    return (
      <Screen title={t("An app asks")} back={to()}>
        <Empty>{t("Nothing was asked. Begin anew in the app.")}</Empty>
      </Screen>
    );
  }
  if (account.isNobody || resident.value?.tokens === null) {
    return <SignIn note={t("Another app wants to read your record. Sign in to see what it asks.")} />;
  }
  return <Asking query={query} />;
}

function Asking({ query }: { query: string }) {
  const account = useAccount();
  const asking = useSignal<Schemas["AskingApp"] | null>(null);
  const { problem, attempt } = useAttempt();
  useEffect(() => {
    void attempt(async () => {
      asking.value = dataOf(await account.api.POST("/v1/apps/requests", { body: { query } }));
    });
  }, [account, query]);
  return (
    <Screen title={t("An app asks")} back={to()}>
      {asking.value === null ? <Unanswered problem={problem.value} /> : <Answering app={asking.value} query={query} />}
    </Screen>
  );
}

function Answering({ app, query }: { app: Schemas["AskingApp"]; query: string }) {
  const account = useAccount();
  const proof = useProof();
  const asksOn = app.scopes.includes(READS_ON);
  const types = useSignal(typesIn(app.scopes));
  const days = useSignal<number>(asksOn ? 30 : 0);
  const isChosen = (scope: string) => {
    const type = typeIn(scope);
    if (scope === READS_ON) return days.value > 0;
    return type === null || types.value.includes(type);
  };
  const letIn = async (event: SubmitEvent) => {
    event.preventDefault();
    if (types.value.length === 0) return;
    await proof.run(async () => {
      const expires_at = days.value > 0 ? new Date(Date.now() + days.value * DAY_MS).toISOString() : null;
      const body = { query, scopes: app.scopes.filter(isChosen), expires_at };
      location.replace(dataOf(await account.api.POST("/v1/apps/allowances", { body })).redirect_to);
    });
  };
  const refuse = async () =>
    await proof.run(async () => {
      location.replace(dataOf(await account.api.POST("/v1/apps/refusals", { body: { query } })).redirect_to);
    });
  return (
    <form class="stack" onSubmit={letIn}>
      <Card title={app.name}>
        <p>{t("This app is made by others. It wants to read parts of your record, and can change nothing.")}</p>
        <p class="soft small">
          {t("You are signed in as {email}. From here you go to {place}.", {
            email: resident.value?.email ?? "",
            place: placeOf(app.redirect_uri),
          })}
        </p>
      </Card>
      <Choices
        label={t("What it may read")}
        options={typesIn(app.scopes).map((value) => ({ value, label: typeTitle(value) }))}
        values={types.value}
        error={types.value.length === 0 ? t("Choose one at least, or say no.") : null}
        onChange={(values) => (types.value = values)}
      />
      {asksOn ? (
        <Choice
          label={t("For how long")}
          options={LENGTHS.map((value) => ({ value, label: value === 0 ? t("1 hour") : tn("{n} day", "{n} days", value) }))}
          value={days.value}
          onChange={(value) => (days.value = value)}
        />
      ) : (
        <p>{t("It may read for an hour.")}</p>
      )}
      <p class="soft">
        {t("Each look is noted. You see them, and end this at any time, under “You”, “Who may look”.")}
      </p>
      {proof.drawn}
      <Button submit look="main" wide>
        {t("Let it read")}
      </Button>
      <Button wide onPress={refuse}>
        {t("No")}
      </Button>
    </form>
  );
}

/** Where an address leads, as a person can judge it. */
function placeOf(uri: string): string {
  const { protocol, host } = new URL(uri);
  return host === "" ? protocol.slice(0, -1) : host;
}
