import { useSignal, useSignalEffect } from "@preact/signals";
import { Banner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { account, countFromBefore, settleFromBefore } from "../../data/residents.ts";
import { t, tn } from "../../shell/language.ts";

/** What was written on this device before anybody signed in: whose is it? */
export function Before() {
  const count = useSignal(0);
  useSignalEffect(() => {
    void account.value;
    void countFromBefore().then((found) => {
      count.value = found;
    });
  });
  if (count.value === 0) return null;
  const settle = async (take: boolean) => {
    await settleFromBefore(take);
    count.value = 0;
  };
  return (
    <Banner kind="warn">
      <p>
        {tn(
          "{n} entry was written on this device before you signed in. Is it yours?",
          "{n} entries were written on this device before you signed in. Are they yours?",
          count.value,
        )}
      </p>
      <div class="row">
        <Button look="main" onPress={() => settle(true)}>
          {t("Yes, put them into my diary")}
        </Button>
        <Button onPress={() => settle(false)}>{t("No, delete them")}</Button>
      </div>
    </Banner>
  );
}
