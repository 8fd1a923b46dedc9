/** The person's own word on a session: a note, to leave it out, to delete it. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { dataOf } from "@cymba/client";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Check, TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import type { Session } from "./words.ts";

const NOTE_MOST = 4000;

interface OwnProps {
  id: string;
  session: Partial<Session>;
  onChanged: () => void;
}

export function Own({ id, session, onChanged }: OwnProps) {
  const account = useAccount();
  const { route } = useLocation();
  const note = useSignal(session.note ?? "");
  const isAsked = useSignal(false);
  const { problem, attempt } = useAttempt();
  const isWritten = session.recorder !== "device";
  const path = { session_id: id };
  const header = { "If-Match": `"${session.version}"` };

  const change = (changes: { note?: string | null; excluded?: boolean }) =>
    attempt(async () => {
      if (isWritten) {
        await account.edit("session", id, changes);
      } else {
        dataOf(await account.api.PATCH("/v1/sessions/{session_id}", { params: { path, header }, body: changes }));
        await account.sync();
      }
      say(t("Kept."));
      onChanged();
    });
  const erase = () =>
    attempt(async () => {
      isAsked.value = false;
      if (isWritten) await account.edit("session", id, null);
      else {
        dataOf(await account.api.DELETE("/v1/sessions/{session_id}", { params: { path, header } }));
        await account.sync();
      }
      say(t("The session is deleted."));
      route(to("sessions"));
    });
  return (
    <Card title={t("Your own word on it")}>
      <TextField
        label={t("Note")}
        lines={3}
        maxLength={NOTE_MOST}
        value={note.value}
        onInput={(value) => (note.value = value)}
      />
      <div class="row">
        <Button onPress={async () => await change({ note: note.value.trim() === "" ? null : note.value })}>
          {t("Keep the note")}
        </Button>
      </div>
      <Check
        label={t("Leave it out of the findings")}
        checked={session.excluded === true}
        onChange={(excluded) => void change({ excluded })}
      />
      <ProblemBanner problem={problem.value} />
      <Button look="plain" onPress={() => void (isAsked.value = true)}>
        {t("Delete this session")}
      </Button>
      {isAsked.value && (
        <Confirm
          title={t("Delete this session?")}
          action={t("Delete it for good")}
          isGrave
          onConfirm={erase}
          onClose={() => void (isAsked.value = false)}
        >
          {isWritten
            ? t("It goes from all your devices.")
            : t("Its recording goes too, for good. Nothing brings it back.")}
        </Confirm>
      )}
    </Card>
  );
}
