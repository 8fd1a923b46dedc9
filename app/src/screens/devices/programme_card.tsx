/** What is desired of a device, and what it holds: two things until it has said that it took it. */

import { Unanswered } from "../../parts/answered.tsx";
import { Banner } from "../../parts/banner.tsx";
import { LinkButton } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Facts } from "../../parts/facts.tsx";
import { useModels, useProgramme } from "../../data/answers.ts";
import type { Schemas } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { when } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { limitFacts, programmeFacts, stateSaid } from "./words.ts";

export function ProgrammeCard({ deviceId, model }: { deviceId: string; model: string }) {
  const { value } = useProgramme(deviceId);
  const { value: models } = useModels();
  const { data: state, problem } = value.value;
  const takes = models.value.data?.items.find((one) => one.name === model)?.takes_programmes ?? true;
  if (!takes) {
    return (
      <Card title={t("Programme")}>
        <p>{t("This device takes no programme from here. You set it at the device itself.")}</p>
      </Card>
    );
  }
  if (state === null) return <Card title={t("Programme")}><Unanswered problem={problem} /></Card>;
  return (
    <Card title={t("Programme")}>
      {state.lock !== null && <Lock lock={state.lock} />}
      {state.is_earlier_holders && (
        <Banner kind="warn">{t("It may still hold the programme of whoever had it before. Do not use it before it holds yours.")}</Banner>
      )}
      {state.desired === null ? (
        <p>{t("No programme was set by you yet.")}</p>
      ) : (
        <Version title={state.in_step ? t("It holds") : t("It shall hold")} one={state.desired} />
      )}
      {!state.in_step && state.held !== null && <Version title={t("It holds until then")} one={state.held} />}
      {state.density_needs_attention && (
        <Banner kind="warn">{t("This is much current for so small an electrode. Look at your skin after each session.")}</Banner>
      )}
      <details class="unfolds">
        <summary>{t("Limits that hold now")}</summary>
        <Facts of={limitFacts(state.limits)} />
      </details>
      {state.lock === null && (
        <LinkButton href={to(`devices/${deviceId}/programme`)} wide>
          {t("Change the programme")}
        </LinkButton>
      )}
    </Card>
  );
}

function Lock({ lock }: { lock: Schemas["ProgrammeLock"] }) {
  return (
    <Banner kind={lock.code === "red-flag" ? "alarm" : "warn"}>
      <strong>{t("No programme can be set just now")}</strong>
      <p>{lock.detail}</p>
      <LinkButton href={lock.code === "red-flag" ? to("red-flag") : to("devices/screening")}>
        {lock.code === "red-flag" ? t("What happens now") : t("Questions about your health")}
      </LinkButton>
    </Banner>
  );
}

function Version({ title, one }: { title: string; one: Schemas["ProgrammeVersion"] }) {
  return (
    <div class="stack tight">
      <h3>{title}</h3>
      <Facts of={programmeFacts(one.programme)} />
      <p class="soft small">
        {stateSaid(one)}
        {one.expires_at !== null && ` ${one.has_expired ? t("It has ended.") : t("It ends {when}.", { when: when(one.expires_at) })}`}
      </p>
    </div>
  );
}
