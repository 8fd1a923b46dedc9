import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { Banner, errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { TextField } from "../../parts/field.tsx";
import { askForCode, askForReset, reset, resident, signIn, signUp } from "../../data/residents.ts";
import { useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { language } from "../../shell/look.ts";
import { Screen } from "../../shell/screen.tsx";

type Step = "in" | "up" | "up-code" | "forgotten" | "forgotten-code";

const LEAST_CHARACTERS = 10;

/** On the machine that runs the demo, its link brings its person's sign-in along. */
function given(name: string): string {
  const isHere = ["127.0.0.1", "localhost", "[::1]"].includes(location.hostname);
  return (isHere && new URLSearchParams(location.hash.slice(1)).get(name)) || "";
}

/** With a `note` it stands in for another screen, which is there again once somebody is signed in. */
export default function SignIn({ note }: { note?: string }) {
  const { route } = useLocation();
  const enter = () => {
    if (note === undefined) route(to(), true);
  };
  const step = useSignal<Step>("in");
  const email = useSignal(given("email") || (resident.peek()?.email ?? ""));
  const password = useSignal(given("password"));
  const code = useSignal("");
  const { problem, attempt } = useAttempt();
  const isBusy = useSignal(false);

  const entrance = () => ({ email: email.value.trim(), password: password.value });
  const go = (next: Step) => {
    problem.value = null;
    step.value = next;
  };
  const tried = (work: () => Promise<void>) => async (event: SubmitEvent) => {
    event.preventDefault();
    if (isBusy.value) return;
    isBusy.value = true;
    await attempt(work);
    isBusy.value = false;
  };

  const emailField = (
    <TextField
      label={t("E-mail address")}
      type="email"
      autocomplete="username"
      required
      value={email.value}
      error={errorAt(problem.value, "/email")}
      onInput={(value) => (email.value = value)}
    />
  );
  const passwordField = (isNew: boolean) => (
    <TextField
      label={isNew ? t("New password") : t("Password")}
      type="password"
      autocomplete={isNew ? "new-password" : "current-password"}
      required
      hint={isNew ? t("At least {n} characters. A few words in a row are good.", { n: LEAST_CHARACTERS }) : undefined}
      value={password.value}
      error={errorAt(problem.value, "/password") ?? errorAt(problem.value, "/new_password")}
      onInput={(value) => (password.value = value)}
    />
  );
  const codeField = (
    <TextField
      label={t("Code from the mail")}
      autocomplete="one-time-code"
      required
      value={code.value}
      error={errorAt(problem.value, "/code")}
      onInput={(value) => (code.value = value)}
    />
  );
  const submit = (label: string) => (
    <Button submit look="main" wide isBusy={isBusy.value}>
      {label}
    </Button>
  );

  switch (step.value) {
    case "in":
      return (
        <Screen title={t("Sign in")} back={to()}>
          {note !== undefined && <p>{note}</p>}
          {resident.value?.tokens === null && (
            <Banner kind="warn">
              {t("Your sign-in has ended. What is on this device is still here. Sign in again to send it.")}
            </Banner>
          )}
          <form class="card stack" onSubmit={tried(async () => {
            await signIn(entrance());
            enter();
          })}>
            {emailField}
            {passwordField(false)}
            <ProblemBanner problem={problem.value} />
            {submit(t("Sign in"))}
            <Button look="plain" onPress={() => go("forgotten")}>
              {t("I forgot my password")}
            </Button>
          </form>
          <Card title={t("New here?")}>
            <p class="soft">
              {t("With an account, your diary is kept safe, and your device can send its sessions.")}
            </p>
            <Button wide onPress={() => go("up")}>
              {t("Make an account")}
            </Button>
          </Card>
        </Screen>
      );
    case "up":
      return (
        <Screen title={t("Make an account")} back={to()}>
          <form class="card stack" onSubmit={tried(async () => {
            await askForCode(entrance(), language.value);
            go("up-code");
          })}>
            {emailField}
            {passwordField(true)}
            <ProblemBanner problem={problem.value} />
            {submit(t("Send me a code"))}
          </form>
          <Button look="plain" onPress={() => go("in")}>
            {t("I have an account")}
          </Button>
        </Screen>
      );
    case "up-code":
      return (
        <Screen title={t("Look at your mail")} back={to()}>
          <form class="card stack" onSubmit={tried(async () => {
            await signUp(entrance(), code.value, language.value);
            enter();
          })}>
            <p>{t("We sent a code to {email}. It is good for an hour.", { email: email.value.trim() })}</p>
            {codeField}
            <ProblemBanner problem={problem.value} />
            {submit(t("Make my account"))}
            <Button look="plain" onPress={() => go("up")}>
              {t("Another address, or a new code")}
            </Button>
          </form>
        </Screen>
      );
    case "forgotten":
      return (
        <Screen title={t("New password")} back={to()}>
          <form class="card stack" onSubmit={tried(async () => {
            await askForReset(email.value.trim());
            password.value = "";
            go("forgotten-code");
          })}>
            {emailField}
            <ProblemBanner problem={problem.value} />
            {submit(t("Send me a code"))}
          </form>
        </Screen>
      );
    case "forgotten-code":
      return (
        <Screen title={t("New password")} back={to()}>
          <form class="card stack" onSubmit={tried(async () => {
            await reset(code.value, password.value);
            await signIn(entrance());
            enter();
          })}>
            <p>
              {t("If {email} has an account, a code is on its way. The new password signs out every other place.", {
                email: email.value.trim(),
              })}
            </p>
            {codeField}
            {passwordField(true)}
            <ProblemBanner problem={problem.value} />
            {submit(t("Set the password"))}
          </form>
        </Screen>
      );
  }
}
