import { useSignal, useSignalEffect } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useEffect, useMemo, useRef } from "preact/hooks";
import type { Fields } from "@cymba/client/offline";
import { Banner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Busy, Card, Empty } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { redFlagsIn } from "../../data/items.ts";
import { useAccount } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fromNow, fullDay, here, wallClock } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { Draft, draftKey, type KeptDraft } from "./draft.ts";
import { More, Questionnaires } from "./more.tsx";
import { Pain } from "./pain.tsx";
import { Ratings } from "./ratings.tsx";
import { SideEffects } from "./side_effects.tsx";

const MOST_AHEAD_MS = 24 * 60 * 60 * 1000;
const LONG_AGO_MS = 365 * MOST_AHEAD_MS;

interface Found {
  entry: Fields | null;
  /** What was being written when the app was closed, and since when it is here. */
  kept: { body: KeptDraft; readAt: string } | null;
}

/** `diary/new`, or the entry of that id. */
export default function Entry({ id }: { id: string }) {
  const account = useAccount();
  const found = useSignal<Found | null>(null);
  useEffect(() => {
    const read = async () => {
      const one = id === "new" ? null : await account.one("diary-entry", id);
      const kept = (await account.kept(draftKey(id))) as Found["kept"];
      found.value = { entry: one?.fields ?? null, kept };
    };
    void read();
  }, [id]);
  if (found.value === null) return <Screen title={t("Entry")} back={to("diary")}>{<Busy />}</Screen>;
  const { entry, kept } = found.value;
  if (entry === null && id !== "new") {
    return (
      <Screen title={t("Entry")} back={to("diary")}>
        <Empty>{t("This entry is not here. It may have been deleted.")}</Empty>
      </Screen>
    );
  }
  const beginAnew = async () => {
    await account.forget(draftKey(id));
    found.value = { entry, kept: null };
  };
  return <Form key={`${id} ${kept?.readAt}`} id={id} entry={entry} kept={kept} onBeginAnew={beginAnew} />;
}

interface FormProps extends Found {
  id: string;
  onBeginAnew: () => Promise<void>;
}

function Form({ id, entry, kept, onBeginAnew }: FormProps) {
  const account = useAccount();
  const { route, query } = useLocation();
  const draft = useMemo(() => new Draft(id === "new" ? crypto.randomUUID() : id, entry, kept?.body ?? null), []);
  const isOver = useRef(false);
  useSignalEffect(() => {
    const isAnything = draft.changes() !== null;
    const body = draft.toKeep();
    if (isOver.current) return;
    const work = isAnything ? account.keep(draftKey(id), body) : account.forget(draftKey(id));
    void work.catch(() => undefined); // somebody has signed out meanwhile
  });
  const end = async () => {
    isOver.current = true;
    await account.forget(draftKey(id));
  };
  const asked = useMemo(() => (query["items"] ?? "").split(",").filter(Boolean), []);
  const isDeleting = useSignal(false);
  const flags = redFlagsIn(draft.items.value);
  const save = async () => {
    if (draft.changes() === null) {
      say(t("There is nothing to save yet."));
      return;
    }
    await draft.save(account);
    await end();
    say(t("Saved."));
    route(flags.length > 0 ? to("red-flag") : to("diary"));
  };
  const remove = async () => {
    await account.edit("diary-entry", draft.id, null);
    await end();
    say(t("The entry is deleted."));
    route(to("diary"), true);
  };
  return (
    <Screen title={draft.isNew ? t("New entry") : t("Entry")} back={to("diary")}>
      {flags.length > 0 && (
        <Banner kind="alarm">
          <strong>
            {t("Stop using the device and seek medical care now. In an emergency call your local emergency number.")}
          </strong>
          <p>{t("Nobody reads your diary: it calls for no help.")}</p>
        </Banner>
      )}
      {kept !== null && (
        <Banner>
          <p>{t("You wrote this {when} and did not save it yet.", { when: fromNow(kept.readAt) })}</p>
          <Button onPress={onBeginAnew}>{t("Begin anew")}</Button>
        </Banner>
      )}
      <When draft={draft} />
      <Ratings draft={draft} asked={asked} />
      <Pain draft={draft} />
      <SideEffects draft={draft} />
      <Questionnaires draft={draft} asked={asked} />
      <More draft={draft} />
      <Card>
        <TextField
          label={t("Note")}
          lines={4}
          maxLength={4000}
          value={draft.note.value}
          onInput={(value) => (draft.note.value = value)}
        />
      </Card>
      {!draft.isNew && (
        <Button look="plain" onPress={() => void (isDeleting.value = true)}>
          {t("Delete this entry")}
        </Button>
      )}
      <div class="save-bar">
        <Button look="main" wide onPress={save}>
          {t("Save")}
        </Button>
      </div>
      {isDeleting.value && (
        <Confirm
          title={t("Delete this entry?")}
          action={t("Delete")}
          isGrave
          onConfirm={remove}
          onClose={() => void (isDeleting.value = false)}
        >
          {t("Its words are erased everywhere. Nobody can bring them back.")}
        </Confirm>
      )}
    </Screen>
  );
}

function When({ draft }: { draft: Draft }) {
  const felt = draft.felt?.getTime() ?? Number.NaN;
  const ahead = felt - Date.now();
  const error = Number.isNaN(felt)
    ? t("Give a day and a time.")
    : ahead > MOST_AHEAD_MS
      ? t("This is more than a day ahead. The server will not take it.")
      : null;
  const hints = [
    draft.zone !== here && t("By the clock of {zone}.", { zone: draft.zone }),
    ahead < -LONG_AGO_MS && t("That is long ago: {day}. Is it right?", { day: fullDay(new Date(felt), draft.zone) }),
  ].filter(Boolean);
  return (
    <Card>
      <TextField
        label={t("When it was felt")}
        type="datetime-local"
        required
        max={wallClock(new Date(Date.now() + MOST_AHEAD_MS), draft.zone)}
        hint={hints.join(" ") || undefined}
        error={error}
        value={draft.wall.value}
        onInput={(value) => (draft.wall.value = value)}
      />
    </Card>
  );
}
