import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Select, TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { changeProfile, readProfile } from "../../data/profile.ts";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { here } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { useProof } from "./proof.tsx";

export default function AccountScreen() {
  const { value, again } = useAnswer("account", readProfile);
  return (
    <Screen title={t("Your account")} back={to("you")}>
      <Answered answer={value.value}>
        {(profile) => (
          <>
            <Profile key={profile.name + profile.time_zone} profile={profile} again={again} />
            <Email profile={profile} again={again} />
            <Password />
          </>
        )}
      </Answered>
    </Screen>
  );
}

function Profile({ profile, again }: { profile: Schemas["Account"]; again: () => void }) {
  const account = useAccount();
  const name = useSignal(profile.name);
  const zone = useSignal(profile.time_zone);
  const { problem, attempt } = useAttempt();
  const zones = [...new Set([profile.time_zone, here, ...Intl.supportedValuesOf("timeZone")])];
  const save = () =>
    attempt(async () => {
      await changeProfile(account, { name: name.value, time_zone: zone.value });
      again();
      say(t("Saved."));
    });
  return (
    <Card>
      <TextField
        label={t("Name")}
        autocomplete="name"
        value={name.value}
        error={errorAt(problem.value, "/name")}
        onInput={(value) => (name.value = value)}
      />
      <Select
        label={t("Time zone")}
        hint={t("Days and reminders go by it.")}
        value={zone.value}
        options={zones.map((one) => ({ value: one, label: one.replaceAll("_", " ") }))}
        onChange={(value) => (zone.value = value)}
      />
      <ProblemBanner problem={problem.value} />
      <Button look="main" onPress={save}>
        {t("Save")}
      </Button>
    </Card>
  );
}

function Email({ profile, again }: { profile: Schemas["Account"]; again: () => void }) {
  const account = useAccount();
  const proof = useProof();
  const email = useSignal(profile.email);
  const code = useSignal("");
  const isAsked = useSignal(false);
  const ask = () =>
    proof.run(async () => {
      const body = { new_email: email.value.trim(), password: password.value };
      dataOf(await account.api.POST("/v1/account/email", { body }));
      isAsked.value = true;
    });
  const password = useSignal("");
  const confirm = () =>
    proof.run(async () => {
      dataOf(await account.api.POST("/v1/account/email/confirm", { body: { code: code.value.trim() } }));
      isAsked.value = false;
      again();
      say(t("Your address is confirmed."));
    });
  return (
    <Card title={t("E-mail address")}>
      {profile.email_verified_at === null && <p>{t("This address is not confirmed yet.")}</p>}
      <TextField
        label={t("E-mail address")}
        type="email"
        autocomplete="email"
        value={email.value}
        onInput={(value) => (email.value = value)}
      />
      {(email.value !== profile.email || profile.email_verified_at === null) && !isAsked.value && (
        <>
          <TextField
            label={t("Password")}
            type="password"
            autocomplete="current-password"
            value={password.value}
            onInput={(value) => (password.value = value)}
          />
          <Button onPress={ask}>{t("Send me a code")}</Button>
        </>
      )}
      {isAsked.value && (
        <>
          <TextField
            label={t("Code from the mail")}
            autocomplete="one-time-code"
            value={code.value}
            onInput={(value) => (code.value = value)}
          />
          <Button look="main" onPress={confirm}>
            {t("Use this address")}
          </Button>
        </>
      )}
      {proof.drawn}
    </Card>
  );
}

function Password() {
  const account = useAccount();
  const current = useSignal("");
  const next = useSignal("");
  const { problem, attempt } = useAttempt();
  const save = async (event: SubmitEvent) => {
    event.preventDefault();
    await attempt(async () => {
      await changeProfile(account, { current_password: current.value, new_password: next.value });
      current.value = next.value = "";
      say(t("Your password is changed. Every other place is signed out."));
    });
  };
  const wrong = errorAt(problem.value, "/current_password");
  const weak = errorAt(problem.value, "/new_password");
  return (
    <Card title={t("New password")}>
      <form class="stack" onSubmit={save}>
        <TextField
          label={t("Present password")}
          type="password"
          autocomplete="current-password"
          required
          value={current.value}
          error={wrong}
          onInput={(value) => (current.value = value)}
        />
        <TextField
          label={t("New password")}
          type="password"
          autocomplete="new-password"
          required
          value={next.value}
          error={weak}
          onInput={(value) => (next.value = value)}
        />
        {wrong === null && weak === null && <ProblemBanner problem={problem.value} />}
        <Button submit>{t("Change the password")}</Button>
      </form>
    </Card>
  );
}
