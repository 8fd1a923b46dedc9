/** A file from another app: chosen, sent in pieces, looked at, stored, and undone as one. */

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { dataOf } from "@cymba/client";
import { Answered } from "../../parts/answered.tsx";
import { ProblemBanner } from "../../parts/banner.tsx";
import { Button } from "../../parts/button.tsx";
import { Card, List, Row, Section } from "../../parts/card.tsx";
import { Confirm } from "../../parts/dialog.tsx";
import { Choice, Select, TextField } from "../../parts/field.tsx";
import { problemOf } from "../../data/account.ts";
import { SCALES, titleOf } from "../../data/items.ts";
import { type Schemas, useAccount, useAnswer, useAttempt } from "../../data/use.ts";
import { to } from "../../routes.tsx";
import { fullDay, here, number } from "../../shell/format.ts";
import { t, tn } from "../../shell/language.ts";
import { Screen } from "../../shell/screen.tsx";

type Import = Schemas["Import"];
type Preview = NonNullable<Import["preview"]>;
type Mapping = Schemas["ImportMapping"];
type ItemName = NonNullable<Mapping["items"]>[number]["item"];
type Steps = { again: () => void; step: (id: string, what: "confirm" | "undo") => Promise<void> };

const TAKEN = [...SCALES.map(({ name }) => name), "sleep_hours"];
const NOTE = "note";
const AT_WORK = ["waiting", "storing", "undoing"];
const ASK_AGAIN_MS = 1_500;

export default function Imports() {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const { value, again } = useAnswer("imports", async ({ api }) => dataOf(await api.GET("/v1/imports")));
  const items = value.value.data?.items ?? [];
  const isAtWork = items.some((one) => AT_WORK.includes(one.state));
  useEffect(() => {
    if (!isAtWork) return;
    const timer = setInterval(again, ASK_AGAIN_MS);
    return () => clearInterval(timer);
  }, [isAtWork]);
  const step: Steps["step"] = (id, what) =>
    attempt(async () => {
      const params = { params: { path: { import_id: id } } };
      if (what === "confirm") dataOf(await account.api.POST("/v1/imports/{import_id}/confirm", params));
      else dataOf(await account.api.POST("/v1/imports/{import_id}/undo", params));
      again();
    });
  return (
    <Screen title={t("Bring in your past")} back={to("you/data")}>
      <p class="soft">
        {t("Pulse, heart rate variability and sleep from Apple Health or Health Connect, and a diary from Daylio, Bearable, Migraine Buddy or any table. You see first what was understood.")}
      </p>
      <ProblemBanner problem={problem.value} />
      <Answered answer={value.value}>
        {(list) => <Listed items={list.items} again={again} step={step} />}
      </Answered>
    </Screen>
  );
}

function Listed({ items, again, step }: { items: Import[] } & Steps) {
  const open = items.find((one) => !["stored", "undone", "failed"].includes(one.state));
  const stored = items.filter((one) => one.state === "stored");
  const last = items[0];
  const undoing = useSignal<Import | null>(null);
  return (
    <>
      {open === undefined && last?.state === "failed" && (
        <p class="error" role="status">
          {last.failure_text}
        </p>
      )}
      {open === undefined ? <Choosing again={again} /> : <Open key={open.id} one={open} again={again} step={step} />}
      {stored.length > 0 && (
        <Section title={t("Brought in")}>
          <List>
            {stored.map((one) => (
              <Row key={one.id} end={<Button onPress={() => void (undoing.value = one)}>{t("Undo")}</Button>}>
                {one.name ?? formatTitle(one.format)}
                <div class="soft small">{fullDay(one.created_at)}</div>
              </Row>
            ))}
          </List>
        </Section>
      )}
      {undoing.value !== null && (
        <Confirm
          title={t("Undo this import?")}
          action={t("Take it all away")}
          isGrave
          onConfirm={async () => {
            const id = undoing.value?.id;
            undoing.value = null;
            if (id !== undefined) await step(id, "undo");
          }}
          onClose={() => void (undoing.value = null)}
        >
          {t("All that it brought goes. Diary entries that you have changed since stay.")}
        </Confirm>
      )}
    </>
  );
}

function Choosing({ again }: { again: () => void }) {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const sent = useSignal<number | null>(null);
  const send = (file: File) =>
    attempt(async () => {
      sent.value = 0;
      const body = { bytes: file.size, name: file.name.slice(0, 200), time_zone: here };
      try {
        const made = dataOf(await account.api.POST("/v1/imports", { body }));
        for (let piece = 0; piece < made.pieces; piece++) {
          const from = piece * made.piece_bytes;
          const response = await account.fetch(`/v1/imports/${made.id}/pieces/${piece}`, {
            method: "PUT",
            headers: { "Content-Type": "application/octet-stream" },
            body: file.slice(from, from + made.piece_bytes),
          });
          if (!response.ok) throw await problemOf(response);
          sent.value = (piece + 1) / made.pieces;
        }
      } finally {
        sent.value = null;
        again();
      }
    });
  return (
    <Card title={t("Choose a file")}>
      <p class="small soft">
        {t("In Apple Health: your picture, then “Export All Health Data”. In Health Connect: “Backup and restore”. In a diary: its export as CSV.")}
      </p>
      <ProblemBanner problem={problem.value} />
      {sent.value === null ? (
        <input
          class="input"
          type="file"
          aria-label={t("Choose a file")}
          onChange={(event) => {
            const file = event.currentTarget.files?.[0];
            if (file !== undefined && file.size > 0) void send(file);
          }}
        />
      ) : (
        <p role="status">{t("Sending: {percent} %", { percent: number(sent.value * 100) })}</p>
      )}
    </Card>
  );
}

function Open({ one, again, step }: { one: Import } & Steps) {
  const drop = (
    <Button onPress={() => step(one.id, "undo")}>{t("Drop it")}</Button>
  );
  if (one.state === "uploading") {
    return (
      <Card title={one.name ?? t("A file")}>
        <p>{t("It was not sent whole. Drop it, and choose it again.")}</p>
        {drop}
      </Card>
    );
  }
  if (one.state !== "read" || one.preview === null) {
    return (
      <Card title={one.name ?? t("A file")}>
        <p role="status">{t("Working on it. You can leave this screen meanwhile.")}</p>
        {one.state === "waiting" && drop}
      </Card>
    );
  }
  return (
    <Card title={t("What was understood")}>
      <p>{formatTitle(one.format)}</p>
      <Understood preview={one.preview} />
      {one.mapping !== null && <Columns one={one} mapping={one.mapping} preview={one.preview} again={again} />}
      <div class="row">
        {one.preview.questions.length === 0 && (
          <Button look="main" onPress={() => step(one.id, "confirm")}>
            {t("Store it")}
          </Button>
        )}
        {drop}
      </div>
    </Card>
  );
}

function Understood({ preview }: { preview: Preview }) {
  return (
    <>
      <List>
        {preview.kinds.map((kind) => (
          <Row key={kind.kind}>
            {kindTitle(kind.kind)}
            <div class="soft small">
              {tn("{n} is new", "{n} are new", kind.count - kind.duplicates)}
              {" · "}
              {kind.duplicates > 0 && `${tn("{n} is here already", "{n} are here already", kind.duplicates)} · `}
              {t("{from} to {until}", { from: fullDay(kind.first_day, "UTC"), until: fullDay(kind.last_day, "UTC") })}
            </div>
          </Row>
        ))}
      </List>
      {preview.left_out.length > 0 && (
        <details class="unfolds">
          <summary>
            {tn(
              "{n} row is left out",
              "{n} rows are left out",
              preview.left_out.reduce((sum, one) => sum + one.count, 0),
            )}
          </summary>
          <ul>
            {preview.left_out.map((one) => {
              const lines = preview.left_out_rows.filter((row) => row.reason === one.reason && row.line !== null);
              return (
                <li key={one.reason}>
                  {one.text} ({number(one.count)})
                  {lines.length > 0 && (
                    <div class="soft small">
                      {t("Lines {lines}", { lines: lines.slice(0, 10).map((row) => row.line).join(", ") })}
                    </div>
                  )}
                </li>
              );
            })}
          </ul>
        </details>
      )}
      {preview.without_time > 0 && (
        <p class="small soft">
          {tn("{n} entry has no time of day: 12:00 is taken.", "{n} entries have no time of day: 12:00 is taken.", preview.without_time)}
        </p>
      )}
    </>
  );
}

/** What the columns mean: asked where the file does not say. */
function Columns(props: { one: Import; mapping: Mapping; preview: Preview; again: () => void }) {
  const account = useAccount();
  const { problem, attempt } = useAttempt();
  const wanted = useSignal<Mapping>(props.mapping);
  const ends = useSignal<Record<number, { low: string; high: string }>>({});
  const asks = (code: string) => props.preview.questions.some((one) => one.code === code);
  const columns = props.preview.columns.map(({ name }) => ({ value: name, label: name }));
  const change = (next: Partial<Mapping>) => void (wanted.value = { ...wanted.value, ...next });
  const save = () =>
    attempt(async () => {
      const items = (wanted.value.items ?? []).map((item, at) => {
        const end = ends.value[at];
        if (end === undefined || end.low === "" || end.high === "") return item;
        return { ...item, scale: { low: Number(end.low), high: Number(end.high) } };
      });
      const params = { path: { import_id: props.one.id } };
      const body = { ...wanted.value, items };
      dataOf(await account.api.POST("/v1/imports/{import_id}/mapping", { params, body }));
      props.again();
    });
  return (
    <div class="stack tight">
      {asks("date") && (
        <Select
          label={t("Which column is the day?")}
          value={wanted.value.date ?? ""}
          options={[{ value: "", label: "" }, ...columns]}
          onChange={(date) => change({ date: date === "" ? null : date })}
        />
      )}
      {asks("day-order") && (
        <Choice
          label={t("How are days written?")}
          options={[
            { value: "dmy" as const, label: t("Day, then month") },
            { value: "mdy" as const, label: t("Month, then day") },
          ]}
          value={wanted.value.day_order ?? null}
          onChange={(day_order) => change({ day_order })}
        />
      )}
      {asks("items") && <Adding columns={columns} onAdd={change} mapping={wanted.value} />}
      {(wanted.value.items ?? []).map((item, at) => {
        const end = ends.value[at] ?? { low: String(item.scale?.low ?? ""), high: String(item.scale?.high ?? "") };
        const set = (next: Partial<typeof end>) => void (ends.value = { ...ends.value, [at]: { ...end, ...next } });
        const words = Object.entries(item.words ?? {});
        return (
          <fieldset class="field" key={at}>
            <legend class="legend">{t("{column} becomes {item}", { column: columnOf(item), item: titleOf(item.item) })}</legend>
            {words.length > 0 && (
              <p class="small soft">{words.map(([word, value]) => `${word} = ${number(value)}`).join(", ")}</p>
            )}
            {words.length === 0 && item.item !== "sleep_hours" && (
              <div class="row">
                <TextField label={t("Which number becomes 0?")} type="number" value={end.low} onInput={(low) => set({ low })} />
                <TextField label={t("Which number becomes 10?")} type="number" value={end.high} onInput={(high) => set({ high })} />
              </div>
            )}
          </fieldset>
        );
      })}
      <ProblemBanner problem={problem.value} />
      <Button look={props.preview.questions.length > 0 ? "main" : "usual"} onPress={save}>
        {t("Read it like this")}
      </Button>
    </div>
  );
}

/** Of a table none of whose columns is known by its name. */
function Adding(props: {
  columns: { value: string; label: string }[];
  mapping: Mapping;
  onAdd: (next: Partial<Mapping>) => void;
}) {
  const column = useSignal("");
  const { items = [], notes = [] } = props.mapping;
  const add = (what: string) => {
    if (column.value === "" || what === "") return;
    if (what === NOTE) props.onAdd({ notes: [...notes, column.value] });
    else props.onAdd({ items: [...items, { column: column.value, item: what as ItemName }] });
    column.value = "";
  };
  return (
    <>
      {notes.length > 0 && <p class="small soft">{t("Becomes the note: {columns}", { columns: notes.join(", ") })}</p>}
      <Select
        label={t("Which column do you want to bring?")}
        value={column.value}
        options={[{ value: "", label: "" }, ...props.columns]}
        onChange={(name) => void (column.value = name)}
      />
      <Select
        label={t("What is it?")}
        value=""
        options={[
          { value: "", label: "" },
          ...TAKEN.map((name) => ({ value: name, label: titleOf(name) })),
          { value: NOTE, label: t("A note") },
        ]}
        onChange={add}
      />
    </>
  );
}

function columnOf(item: NonNullable<Mapping["items"]>[number]): string {
  const where = (item.where ?? []).map((one) => one.value).join(", ");
  return where === "" ? item.column : `${item.column} (${where})`;
}

function kindTitle(kind: string): string {
  switch (kind) {
    case "heart_rate": return t("Heart rate");
    case "resting_heart_rate": return t("Resting heart rate");
    case "hrv_sdnn": return t("Heart rate variability, SDNN");
    case "hrv_rmssd": return t("Heart rate variability, RMSSD");
    case "sleep": return t("Sleep");
    case "diary_entry": return t("Diary entries");
    default: return kind;
  }
}

function formatTitle(format: string | null): string {
  switch (format) {
    case "apple_health": return "Apple Health";
    case "health_connect": return "Health Connect";
    case "daylio": return "Daylio";
    case "bearable": return "Bearable";
    case "migraine_buddy": return "Migraine Buddy";
    default: return t("A table");
  }
}
