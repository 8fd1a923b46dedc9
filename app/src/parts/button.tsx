import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { t } from "../shell/language.ts";

type Look = "usual" | "main" | "alarm" | "plain";

interface ButtonProps {
  children: ComponentChildren;
  look?: Look;
  wide?: boolean;
  /** Of a form; it then needs no `onPress`. */
  submit?: boolean;
  /** What a press does. While it is under way, further presses do nothing. */
  onPress?: () => void | Promise<unknown>;
  /** Whether what it began is under way, where its owner knows. */
  isBusy?: boolean;
  label?: string;
  pressed?: boolean;
}

export function Button(props: ButtonProps) {
  const isWorking = useSignal(false);
  const isBusy = props.isBusy === true || isWorking.value;
  const press = async (event: Event) => {
    if (isBusy) {
      event.preventDefault();
      return;
    }
    const work = props.onPress?.();
    if (work === undefined) return;
    isWorking.value = true;
    await work.finally(() => {
      isWorking.value = false;
    });
  };
  return (
    <button
      type={props.submit ? "submit" : "button"}
      class={classOf(props)}
      aria-disabled={isBusy}
      aria-label={props.label}
      aria-pressed={props.pressed}
      onClick={press}
    >
      {props.children}
      {isBusy && <span class="visually-hidden">{t("Working")}</span>}
    </button>
  );
}

export function LinkButton(props: { href: string; children: ComponentChildren; look?: Look; wide?: boolean }) {
  return (
    <a class={classOf(props)} href={props.href}>
      {props.children}
    </a>
  );
}

function classOf({ look, wide }: { look?: Look; wide?: boolean }): string {
  return `button ${look ?? "usual"}${wide ? " wide" : ""}`;
}
