/** Questions about the person's health, before a programme can be set. */

import { useSignal } from "@preact/signals";
import { dataOf } from "@cymba/client";
import { Unanswered } from "../../parts/answered.tsx";
import { Banner, errorAt, ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card } from "../../parts/card.tsx";
import { Choice } from "../../parts/field.tsx";
import { say } from "../../parts/toast.tsx";
import { useScreening } from "../../data/answers.ts";
import { type Schemas, useAccount, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fullDay } from "../../shell/format.ts";
import { t } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

type Answer = "no" | "yes" | "unsure" | "cleared";

export default function ScreeningScreen() {
  const { value, again } = useScreening();
  const { data, problem } = value.value;
  return (
    <Screen title={t("Questions about your health")} back={to("devices")}>
      {data === null ? (
        <Unanswered problem={problem} />
      ) : (
        data.models.map((model) => (
          <Questions key={`${model.model} ${model.answered_at}`} model={model} screening={data} onKept={again} />
        ))
      )}
      {data !== null && data.models.length === 0 && (
        <Banner>{t("Nothing is asked before you have a device that takes programmes.")}</Banner>
      )}
    </Screen>
  );
}

interface QuestionsProps {
  model: Schemas["ModelScreening"];
  screening: Schemas["Screening"];
  onKept: () => void;
}

function Questions({ model, screening, onKept }: QuestionsProps) {
  const account = useAccount();
  const answers = useSignal<Record<string, Answer>>({ ...(model.answers as Record<string, Answer> | null) });
  const { problem, attempt } = useAttempt();
  const asked = model.questions.flatMap((name) => screening.questions.find((one) => one.name === name) ?? []);
  const minded = model.precautions.flatMap((name) => screening.precautions.find((one) => one.name === name) ?? []);

  const keep = () =>
    attempt(async () => {
      const { response } = await account.api.GET("/v1/screening");
      const header = { "If-Match": response.headers.get("ETag") ?? "" };
      const body = { model: model.model, text_version: screening.text_version, answers: answers.value };
      dataOf(await account.api.PUT("/v1/screening/answers", { params: { header }, body }));
      say(t("Kept."));
      onKept();
    });
  return (
    <Card title={model.title}>
      {model.lock !== null && <Banner kind="warn">{model.lock.detail}</Banner>}
      {model.answered_at !== null && <p class="soft small">{t("Last answered on {day}", { day: fullDay(model.answered_at) })}</p>}
      {asked.map((one) => (
        <Choice
          key={one.name}
          label={one.text}
          value={answers.value[one.name] ?? null}
          error={errorAt(problem.value, `/answers/${one.name}`)}
          options={optionsFor(one)}
          onChange={(value) => (answers.value = { ...answers.value, [one.name]: value })}
        />
      ))}
      {minded.length > 0 && (
        <div class="stack tight">
          <h3>{t("Mind this")}</h3>
          <ul class="points">
            {minded.map((one) => (
              <li key={one.name}>{one.text}</li>
            ))}
          </ul>
        </div>
      )}
      <ProblemBanner problem={problem.value} />
      <Button look="main" wide onPress={keep}>
        {t("Keep my answers")}
      </Button>
    </Card>
  );
}

function optionsFor(question: Schemas["ScreeningQuestion"]): { value: Answer; label: string }[] {
  return [
    { value: "no", label: t("No") },
    { value: "yes", label: t("Yes") },
    { value: "unsure", label: t("Not sure") },
    ...(question.tier === "clearance"
      ? [{ value: "cleared" as const, label: t("Yes, and a clinician who knows of it agrees") }]
      : []),
  ];
}
