import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button, LinkButton } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Check } from "../../parts/field.tsx";
import { handOver } from "../../parts/hand_over.ts";
import { say } from "../../parts/toast.tsx";
import { eraseAccount } from "../../data/profile.ts";
import { leave } from "../../data/residents.ts";
import { useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { useProof } from "./proof.tsx";

export default function Data() {
  return (
    <Screen title={t("Take your data, or erase it")} back={to("you")}>
      <Export />
      <Card title={t("Bring in your past")}>
        <p>{t("What a watch recorded, or another diary holds, can come here too. You can undo it.")}</p>
        <LinkButton href={to("you/imports")}>{t("Choose a file")}</LinkButton>
      </Card>
      <Erasure />
    </Screen>
  );
}

function Export() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const load = () =>
    attempt(async () => {
      await handOver(await account.fetch("/v1/account/export"), "cymba.zip");
    });
  return (
    <Card title={t("Take it with you")}>
      <p>
        {t("An archive of everything that is held about you: sheets to read, the recordings, and every table as it is stored.")}
      </p>
      {account.unsent.value > 0 && (
        <p>
          {tn(
            "{n} change was not sent yet, so it is not in there.",
            "{n} changes were not sent yet, so they are not in there.",
            account.unsent.value,
          )}
        </p>
      )}
      <ProblemBanner problem={problem.value} />
      <Button look="main" onPress={load}>
        {t("Download everything")}
      </Button>
    </Card>
  );
}

function Erasure() {
  const account = useAccount();
  const proof = useProof();
  const { route } = useLocation();
  const isSure = useSignal(false);
  const isAsking = useSignal(false);
  const erase = async () => {
    isAsking.value = false;
    await proof.run(async () => {
      await eraseAccount(account);
      route(to("receipt"), true);
      await leave(account);
      say(t("Your account is erased, here and on the server."));
    });
  };
  return (
    <Card title={t("Erase it")}>
      <p>
        {t("Your account, your diary, your sessions and your findings are erased for good. Your devices become free. What a device still sends of your time is erased when it arrives.")}
      </p>
      <p>{t("Nobody can undo this. Download first what you want to keep.")}</p>
      {proof.drawn}
      <Check
        label={t("I understand that everything will be gone")}
        checked={isSure.value}
        onChange={(checked) => (isSure.value = checked)}
      />
      {isSure.value && (
        <Button look="alarm" onPress={() => void (isAsking.value = true)}>
          {t("Erase my account")}
        </Button>
      )}
      {isAsking.value && (
        <Confirm
          title={t("Erase your account?")}
          action={t("Erase everything")}
          isGrave
          onConfirm={erase}
          onClose={() => void (isAsking.value = false)}
        >
          {t("This is the last question.")}
        </Confirm>
      )}
    </Card>
  );
}
