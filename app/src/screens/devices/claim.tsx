/** Becoming a device's holder, by the code that is printed on it or shown as a QR code. */

import { useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { dataOf } from "@cymba/client";
import { Banner, errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { TextField } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";
import { CodeReader, canReadCodes } from "./code_reader.tsx";
import { claimOf } from "./claim_code.ts";

export default function ClaimScreen() {
  const account = useAccount();
  const { route } = useLocation();
  const serial = useSignal("");
  const code = useSignal("");
  const name = useSignal("");
  const isReading = useSignal(false);
  const { problem, attempt } = useAttempt();

  const claim = async (event: SubmitEvent) => {
    event.preventDefault();
    await attempt(async () => {
      const named = name.value.trim() === "" ? {} : { name: name.value.trim() };
      const body = { serial: serial.value.trim(), code: code.value.trim(), ...named };
      const device = dataOf(await account.api.POST("/v1/devices/claim", { body }));
      await account.sync();
      say(t("The device is yours."));
      route(to(`devices/${device.id}`));
    });
  };
  const read = (text: string) => {
    isReading.value = false;
    const found = claimOf(text);
    if (found === null) {
      say(t("This is not the code of a device."));
      return;
    }
    serial.value = found.serial;
    code.value = found.code;
  };
  return (
    <Screen title={t("Add a device")} back={to("devices")}>
      {canReadCodes() && (
        <Card>
          <Button wide onPress={() => void (isReading.value = true)}>
            {t("Read the code with the camera")}
          </Button>
          {isReading.value && <CodeReader onRead={read} onClose={() => void (isReading.value = false)} />}
        </Card>
      )}
      <Card>
        <form class="stack" onSubmit={claim}>
          <TextField
            label={t("Serial number")}
            required
            maxLength={100}
            autocomplete="off"
            value={serial.value}
            error={errorAt(problem.value, "/serial")}
            onInput={(value) => (serial.value = value)}
          />
          <TextField
            label={t("Claim code")}
            hint={t("As it is printed. Spaces, dashes and small letters do not matter.")}
            required
            maxLength={100}
            autocomplete="off"
            value={code.value}
            error={errorAt(problem.value, "/code")}
            onInput={(value) => (code.value = value)}
          />
          <TextField
            label={t("What you call it")}
            maxLength={100}
            value={name.value}
            error={errorAt(problem.value, "/name")}
            onInput={(value) => (name.value = value)}
          />
          <ProblemBanner problem={problem.value} />
          <Button submit look="main" wide>
            {t("Add it")}
          </Button>
        </form>
      </Card>
      <Banner>{t("Recordings from before you held it stay with whoever held it then.")}</Banner>
    </Screen>
  );
}
