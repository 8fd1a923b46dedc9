import { useSignal } from "@preact/signals";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Card, List, Row, Section } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Choice } from "../../parts/field.tsx";
import { resident, signOut } from "../../data/residents.ts";
import { changeProfile, readProfile } from "../../data/profile.ts";
import { useAccount, useAnswer } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t, tn } from "../../shell/language.ts";
import { type Language, language, type TextSize, textSize, type Theme, theme } from "../../shell/look.ts";
import { Screen } from "../../shell/screen.tsx";

export default function You() {
  const account = useAccount();
  const isLeaving = useSignal(false);
  const { value: profile } = useAnswer(account.isNobody ? null : "account", readProfile);
  return (
    <Screen title={t("You")}>
      {account.isNobody ? (
        <Card title={t("On this device alone")}>
          <p class="soft">{t("Nobody is signed in here. What you write stays on this device.")}</p>
          <LinkButton href={to("sign-in")} look="main" wide>
            {t("Sign in, or make an account")}
          </LinkButton>
        </Card>
      ) : (
        <List>
          <Row href={to("you/account")}>
            {t("Your account")}
            <div class="soft small">{resident.value?.email}</div>
          </Row>
          <Row href={to("devices")}>{t("Your devices")}</Row>
          <Row href={to("you/consents")}>{t("What you agreed to")}</Row>
          <Row href={to("you/shares")}>{t("Who may look")}</Row>
          <Row href={to("you/audit")}>{t("Who looked, and what was changed")}</Row>
          <Row href={to("you/sign-ins")}>{t("Where you are signed in")}</Row>
          <Row href={to("you/data")}>{t("Take your data, or erase it")}</Row>
          {profile.value.data?.role === "operator" && <Row href={to("operator")}>{t("This installation")}</Row>}
        </List>
      )}
      <Section title={t("How it looks")}>
        <Card>
          <Choice<Theme>
            label={t("Light or dark")}
            value={theme.value}
            options={[
              { value: "auto", label: t("As the system") },
              { value: "light", label: t("Light") },
              { value: "dark", label: t("Dark") },
            ]}
            onChange={(value) => (theme.value = value)}
          />
          <Choice<TextSize>
            label={t("Text size")}
            value={textSize.value}
            options={[
              { value: "normal", label: t("Normal") },
              { value: "large", label: t("Large") },
              { value: "largest", label: t("Very large") },
            ]}
            onChange={(value) => (textSize.value = value)}
          />
          <Choice<Language>
            label={t("Language")}
            value={language.value}
            options={[
              { value: "en", label: "English" },
              { value: "de", label: "Deutsch" },
            ]}
            onChange={(value) => {
              language.value = value;
              if (!account.isNobody) void changeProfile(account, { locale: value }).catch(() => undefined);
            }}
          />
        </Card>
      </Section>
      <p class="soft small">
        {t("Cymba shows what was recorded and written. It does not diagnose and treats nothing. In an emergency call your local emergency number.")}
      </p>
      {!account.isNobody && (
        <Button wide onPress={() => void (isLeaving.value = true)}>
          {t("Sign out")}
        </Button>
      )}
      {isLeaving.value && (
        <Confirm
          title={t("Sign out?")}
          action={t("Sign out")}
          isGrave={account.unsent.value > 0}
          onConfirm={async () => {
            isLeaving.value = false;
            await signOut();
          }}
          onClose={() => void (isLeaving.value = false)}
        >
          <p>{t("Everything of your account is taken off this device. It stays on the server.")}</p>
          {account.unsent.value > 0 && (
            <p>
              <strong>
                {tn(
                  "{n} change was not sent yet. It would be lost.",
                  "{n} changes were not sent yet. They would be lost.",
                  account.unsent.value,
                )}
              </strong>
            </p>
          )}
        </Confirm>
      )}
    </Screen>
  );
}
