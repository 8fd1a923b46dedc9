import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { errorAt } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Empty, List, Row, Section } from "../../parts/card.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { Choice, Choices, TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useShares } from "../../data/answers.ts";
import { typesIn, typeTitle } from "../../data/readable.ts";
import { type Schemas, useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { DAY_MS, fullDay } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { useProof } from "./proof.tsx";

type Scope = Schemas["ShareRequest"]["scopes"][number];
const SCOPES: readonly Scope[] = ["report", "sessions", "diary", "insights"];

export default function Shares() {
  const account = useAccount();
  const proof = useProof();
  const isMaking = useSignal(false);
  const made = useSignal<Schemas["NewShare"] | null>(null);
  const { value, again } = useShares();
  const end = (id: string) => async () =>
    await proof.run(async () => {
      dataOf(await account.api.DELETE("/v1/shares/{share_id}", { params: { path: { share_id: id } } }));
      again();
      say(t("It is ended, at once."));
    });
  const isOver = (one: Schemas["Share"]) => one.revoked_at !== null || Date.parse(one.expires_at) < Date.now();
  return (
    <Screen title={t("Who may look")} back={to("you")}>
      <p class="soft">{t("A clinician or a relative can read what you choose, for as long as you choose. They can change nothing.")}</p>
      <Button look="main" wide onPress={() => void (isMaking.value = true)}>
        {t("Let somebody look")}
      </Button>
      {proof.drawn}
      <Answered answer={value.value}>
        {({ items }) => (
          <>
            {items.length === 0 && <Empty>{t("Nobody may look.")}</Empty>}
            {[
              { title: t("Open now"), list: items.filter((one) => !isOver(one)) },
              { title: t("Over"), list: items.filter(isOver) },
            ]
              .filter(({ list }) => list.length > 0)
              .map(({ title, list }) => (
                <Section key={title} title={title}>
                  <List>
                    {list.map((one) => (
                      <Row key={one.id} end={!isOver(one) && <Button onPress={end(one.id)}>{t("End")}</Button>}>
                        {one.label}
                        <div class="soft small">
                          {(one.app === null
                            ? one.scopes.map((scope) => scopeTitle(scope as Scope))
                            : [t("An app"), ...typesIn(one.app.scopes).map(typeTitle)]
                          ).join(", ")}
                          {" · "}
                          {one.revoked_at !== null
                            ? t("ended {day}", { day: fullDay(one.revoked_at) })
                            : t("until {day}", { day: fullDay(one.expires_at) })}
                        </div>
                      </Row>
                    ))}
                  </List>
                </Section>
              ))}
          </>
        )}
      </Answered>
      {isMaking.value && (
        <Making
          onClose={() => void (isMaking.value = false)}
          onMade={(share) => {
            isMaking.value = false;
            made.value = share;
            again();
          }}
        />
      )}
      {made.value !== null && <Made share={made.value} onClose={() => void (made.value = null)} />}
    </Screen>
  );
}

function Making(props: { onClose: () => void; onMade: (share: Schemas["NewShare"]) => void }) {
  const account = useAccount();
  const proof = useProof();
  const label = useSignal("");
  const scopes = useSignal<Scope[]>(["sessions", "diary"]);
  const days = useSignal(30);
  const problem = useSignal<unknown>(null);
  const make = async (event: SubmitEvent) => {
    event.preventDefault();
    problem.value = null;
    await proof.run(async () => {
      const expires_at = new Date(Date.now() + days.value * DAY_MS).toISOString();
      const body = { label: label.value, scopes: scopes.value, expires_at };
      try {
        props.onMade(dataOf(await account.api.POST("/v1/shares", { body })));
      } catch (error) {
        problem.value = error;
        throw error;
      }
    });
  };
  return (
    <Dialog title={t("Let somebody look")} onClose={props.onClose}>
      <form class="stack" onSubmit={make}>
        <TextField
          label={t("Who is it for?")}
          required
          maxLength={100}
          value={label.value}
          error={errorAt(problem.value, "/label")}
          onInput={(value) => (label.value = value)}
        />
        <Choices
          label={t("What they may read")}
          options={SCOPES.map((value) => ({ value, label: scopeTitle(value) }))}
          values={scopes.value}
          hint={
            scopes.value.includes("report")
              ? t("The report also shows findings, side effects, conditions and medication, but no notes.")
              : undefined
          }
          error={scopes.value.length === 0 ? t("Choose one at least.") : null}
          onChange={(values) => (scopes.value = values)}
        />
        <Choice
          label={t("For how long")}
          options={[1, 30, 90, 365].map((value) => ({ value, label: tn("{n} day", "{n} days", value) }))}
          value={days.value}
          onChange={(value) => (days.value = value)}
        />
        {proof.drawn}
        <Button submit look="main" wide>
          {t("Make the link")}
        </Button>
      </form>
    </Dialog>
  );
}

function Made({ share, onClose }: { share: Schemas["NewShare"]; onClose: () => void }) {
  const link = `${location.origin}/s#${share.token}`;
  const copy = async () => {
    await navigator.clipboard.writeText(link);
    say(t("The link is copied."));
  };
  return (
    <Dialog title={t("The link for {name}", { name: share.label })} onClose={onClose}>
      <p>{t("It is shown this once. Whoever has it can look, so give it to them alone.")}</p>
      <TextField label={t("Link")} value={link} onInput={() => undefined} />
      <div class="row">
        <Button look="main" onPress={copy}>
          {t("Copy")}
        </Button>
        {"share" in navigator && (
          <Button onPress={async () => await navigator.share({ url: link }).catch(() => undefined)}>
            {t("Send it")}
          </Button>
        )}
      </div>
    </Dialog>
  );
}

function scopeTitle(scope: Scope): string {
  switch (scope) {
    case "report": return t("Report");
    case "sessions": return t("Sessions");
    case "diary": return t("Diary");
    case "insights": return t("Findings");
    default: return scope;
  }
}
