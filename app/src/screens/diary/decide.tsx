import { type SetAside, type Operation, type Fields } from "@cymba/client/offline";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Busy, Card, Empty } from "../../parts/card.tsx";
import { say } from "../../parts/toast.tsx";
import { useAccount, useCopy } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { here, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { fieldTitle, valueOf } from "./words.ts";

/** What the server did not take: the person sees both, and says what holds. */
export default function Decide() {
  const aside = useCopy(async (account) => await account.engine.aside());
  return (
    <Screen title={t("You decide")} back={to("diary")}>
      {aside.value === null && <Busy />}
      {aside.value?.length === 0 && <Empty>{t("There is nothing to decide.")}</Empty>}
      {aside.value?.map((one) => (
        <Decision key={one.operation.id} one={one} />
      ))}
    </Screen>
  );
}

function Decision({ one }: { one: SetAside }) {
  const account = useAccount();
  const { operation, conflict, problem } = one;
  const there = conflict?.entity ?? null;
  const mine = flat((operation.fields ?? {}) as Fields);
  const theirs = flat((there ?? {}) as Fields);
  const isDeletion = operation.action === "delete";
  const keepMine = async () => {
    if (isDeletion) await account.edit(operation.kind, operation.entity_id, null);
    else await account.edit(operation.kind, placeFor(operation, conflict?.deleted), whole(operation, there));
    await account.decide(operation.id);
    say(t("Yours holds."));
  };
  const keepTheirs = async () => {
    await account.decide(operation.id);
    say(t("It stays as it is."));
  };
  if (conflict === undefined) {
    return (
      <Card title={t("This could not be taken")}>
        <p>{problem?.errors[0]?.detail ?? problem?.detail}</p>
        <Values fields={mine} names={Object.keys(mine)} />
        <div class="row">
          <LinkButton href={to(`diary/${operation.entity_id}`)}>{t("Open the entry")}</LinkButton>
          <Button onPress={keepTheirs}>{t("Leave my change out")}</Button>
        </div>
      </Card>
    );
  }
  const names = isDeletion || there === null ? Object.keys({ ...mine }) : conflict.conflicting;
  return (
    <Card title={t("Changed in two places")}>
      {there !== null && typeof there["felt_at"] === "string" && (
        <p class="soft">{when(there["felt_at"], String(there["time_zone"]))}</p>
      )}
      <div class="columns stack">
        <div class="stack tight">
          <h3>{t("You wrote here")}</h3>
          {isDeletion ? <p>{t("You deleted it.")}</p> : <Values fields={mine} names={names} />}
        </div>
        <div class="stack tight">
          <h3>{t("It now says")}</h3>
          {there === null ? (
            <p>{t("It was deleted elsewhere.")}</p>
          ) : (
            <Values fields={theirs} names={isDeletion ? Object.keys(theirs).filter(isPersons) : names} />
          )}
        </div>
      </div>
      <div class="row">
        <Button look="main" onPress={keepMine}>
          {isDeletion ? t("Delete it all the same") : t("Take what I wrote")}
        </Button>
        <Button onPress={keepTheirs}>{t("Leave it as it is")}</Button>
      </div>
    </Card>
  );
}

function Values({ fields, names }: { fields: Fields; names: string[] }) {
  return (
    <dl class="pairs">
      {names.map((name) => (
        <div key={name}>
          <dt class="soft small">{fieldTitle(name)}</dt>
          <dd>{shown(name, fields[name])}</dd>
        </div>
      ))}
    </dl>
  );
}

function shown(name: string, value: unknown): string {
  if (name.endsWith("_at") && typeof value === "string") return when(value);
  return valueOf(name.replace(/^items\./, ""), value);
}

const isPersons = (name: string) => name.startsWith("items.") || name === "note";

/** Each item a field of its own, as conflicts name them. */
function flat(fields: Fields): Fields {
  const { items, ...others } = fields;
  const named = Object.entries((items ?? {}) as Fields).map(([name, value]) => [`items.${name}`, value]);
  return { ...others, ...Object.fromEntries(named) };
}

/** What was deleted is erased, so what the person wrote of it becomes an entry of its own. */
function placeFor(operation: Operation, isGone: boolean | undefined): string {
  return isGone ? crypto.randomUUID() : operation.entity_id;
}

/** The person's fields once more; an entry that was deleted meanwhile needs its time too. */
function whole(operation: Operation, there: Fields | null): Fields {
  const fields = (operation.fields ?? {}) as Fields;
  if (there !== null || operation.kind !== "diary-entry") return fields;
  const usual = { felt_at: new Date().toISOString(), time_zone: here };
  return { ...usual, ...fields };
}
