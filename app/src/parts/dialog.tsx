import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { Button } from "./button.tsx";
import { Icon } from "./icon.tsx";
import { t } from "../shell/language.ts";

/** A question or a task before all else. Drawn while it is open; Escape and the cross close it. */
export function Dialog(props: { title: string; onClose: () => void; children: ComponentChildren }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog ref={dialog} class="stack fades" aria-labelledby={id} onClose={props.onClose}>
      <div class="spread">
        <h2 id={id}>{props.title}</h2>
        <Button look="plain" label={t("Close")} onPress={() => dialog.current?.close()}>
          <Icon name="close" />
        </Button>
      </div>
      {props.children}
    </dialog>
  );
}

interface ConfirmProps {
  title: string;
  children: ComponentChildren;
  /** What will be done, as the button says it. */
  action: string;
  isGrave?: boolean;
  onConfirm: () => void | Promise<void>;
  onClose: () => void;
}

export function Confirm(props: ConfirmProps) {
  return (
    <Dialog title={props.title} onClose={props.onClose}>
      <div>{props.children}</div>
      <div class="row">
        <Button look={props.isGrave ? "alarm" : "main"} onPress={props.onConfirm}>
          {props.action}
        </Button>
        <Button onPress={props.onClose}>{t("Cancel")}</Button>
      </div>
    </Dialog>
  );
}
