/** Short words about what was done, read out where somebody listens. */

import { signal } from "@preact/signals";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";
import { t } from "../shell/language.ts";

interface Toast {
  text: string;
  /** What can be done about it, such as undoing it. */
  action?: { label: string; run: () => void | Promise<void> };
}

const shown = signal<Toast | null>(null);
const LASTS_MS = 8_000;
let timer: number | undefined;

/** Say it, in place of what was said before. With an action it stays until it is closed. */
export function say(text: string, action?: Toast["action"]): void {
  shown.value = action === undefined ? { text } : { text, action };
  clearTimeout(timer);
  if (action === undefined) timer = setTimeout(close, LASTS_MS) as unknown as number;
}

function close(): void {
  shown.value = null;
}

export function Toasts() {
  const toast = shown.value;
  return (
    <div class="toasts">
      <div role="status">{toast !== null && <span class="visually-hidden">{toast.text}</span>}</div>
      {toast !== null && (
        <div class="toast fades">
          <span aria-hidden="true">{toast.text}</span>
          {toast.action !== undefined && (
            <Button
              look="plain"
              onPress={async () => {
                const action = toast.action;
                close();
                await action?.run();
              }}
            >
              {toast.action.label}
            </Button>
          )}
          <Button look="plain" label={t("Close")} onPress={close}>
            <Icon name="close" />
          </Button>
        </div>
      )}
    </div>
  );
}
