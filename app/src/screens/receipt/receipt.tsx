/** What was erased with an account, and what stays and why; kept here until the person has read it. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { useLocation } from "preact-iso";
import { Button } from "../../parts/button.tsx";
import { Card, Empty } from "../../parts/card.tsx";
import { Facts } from "../../parts/facts.tsx";
import { forgetReceipt, keptReceipt } from "../../data/profile.ts";
import type { Schemas } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { number, when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

export default function Receipt() {
  const { route } = useLocation();
  const receipt = useSignal<Schemas["ErasureReceipt"] | null>(null);
  useEffect(() => void keptReceipt().then((found) => (receipt.value = found)), []);
  const forget = async () => {
    await forgetReceipt();
    route(to(), true);
  };
  const one = receipt.value;
  if (one === null) {
    return (
      <Screen title={t("Receipt")} back={to()}>
        <Empty>{t("There is no receipt on this device.")}</Empty>
      </Screen>
    );
  }
  return (
    <Screen title={one.title}>
      <p>{t("Erased on {when}", { when: when(one.erased_at) })}</p>
      <Card title={t("What was erased")}>
        <Facts of={one.erased.map(({ what, rows }) => [what, number(rows)])} />
      </Card>
      <Card title={t("What stays, and why")}>
        <ul class="points" lang={one.language}>
          {one.stays.map(({ what, why }) => (
            <li key={what}>
              <strong>{what}</strong> {why}
            </li>
          ))}
        </ul>
      </Card>
      <div class="row not-printed">
        <Button onPress={() => window.print()}>{t("Print")}</Button>
        <Button onPress={forget}>{t("I have read it: forget it here")}</Button>
      </div>
    </Screen>
  );
}
