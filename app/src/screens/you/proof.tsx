/** Some things ask for the password once more, so that a phone left lying about cannot do them. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { dataOf, ProblemError } from "@cymba/client";
import { errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Dialog } from "../../parts/dialog.tsx";
import { TextField } from "../../parts/field.tsx";
import { useAccount } from "../../data/use.ts";
import { t } from "../../shell/language.ts";

interface Proof {
  /** Do it; where the server wants the password first, ask for it, and do it then. */
  run: (work: () => Promise<void>) => Promise<void>;
  /** To be drawn on the screen: it asks, and says what went wrong. */
  drawn: JSX.Element | null;
}

export function useProof(): Proof {
  const account = useAccount();
  const waiting = useSignal<(() => Promise<void>) | null>(null);
  const password = useSignal("");
  const problem = useSignal<unknown>(null);
  const wrong = useSignal<unknown>(null);

  const run = async (work: () => Promise<void>) => {
    problem.value = null;
    try {
      await work();
    } catch (error) {
      if (error instanceof ProblemError && error.code === "reauthentication-required") {
        password.value = "";
        wrong.value = null;
        waiting.value = work;
      } else {
        problem.value = error;
      }
    }
  };
  const prove = async (event: SubmitEvent) => {
    event.preventDefault();
    const work = waiting.value;
    try {
      dataOf(await account.api.POST("/v1/account/proof", { body: { password: password.value } }));
    } catch (error) {
      wrong.value = error;
      return;
    }
    waiting.value = null;
    if (work !== null) await run(work);
  };
  const drawn =
    waiting.value === null ? (
      problem.value === null ? null : <ProblemBanner problem={problem.value} />
    ) : (
      <Dialog title={t("Your password, once more")} onClose={() => void (waiting.value = null)}>
        <form class="stack" onSubmit={prove}>
          <TextField
            label={t("Password")}
            type="password"
            autocomplete="current-password"
            required
            value={password.value}
            error={errorAt(wrong.value, "/password")}
            onInput={(value) => (password.value = value)}
          />
          {errorAt(wrong.value, "/password") === null && <ProblemBanner problem={wrong.value} />}
          <Button submit look="main" wide>
            {t("Go on")}
          </Button>
        </form>
      </Dialog>
    );
  return { run, drawn };
}
