import { type ComponentChildren, toChildArray } from "preact";
import { useId } from "preact/hooks";
import { Icon } from "./icon.tsx";
import { t } from "../shell/language.ts";

/** A part of a screen, with its own heading. */
export function Card(props: { title?: string; children: ComponentChildren; aside?: ComponentChildren }) {
  const id = useId();
  if (props.title === undefined) return <div class="card stack tight">{props.children}</div>;
  return (
    <section class="card stack tight" aria-labelledby={id}>
      <div class="spread">
        <h2 id={id}>{props.title}</h2>
        {props.aside}
      </div>
      {props.children}
    </section>
  );
}

/** A group of a list, under its heading. */
export function Section(props: { title: string; children: ComponentChildren; aside?: ComponentChildren }) {
  const id = useId();
  return (
    <section class="stack tight" aria-labelledby={id}>
      <div class="spread">
        <h2 id={id}>{props.title}</h2>
        {props.aside}
      </div>
      {props.children}
    </section>
  );
}

/** `none`: what is said in its place where it has no rows. */
export function List({ children, none }: { children: ComponentChildren; none?: string }) {
  if (none !== undefined && toChildArray(children).length === 0) return <Empty>{none}</Empty>;
  return <ul class="list">{children}</ul>;
}

interface RowProps {
  children: ComponentChildren;
  /** Where a press leads, or what it does. Without either it is only read. */
  href?: string;
  onPress?: () => void;
  end?: ComponentChildren;
}

export function Row({ children, href, onPress, end }: RowProps) {
  const inside = (
    <>
      <span class="middle">{children}</span>
      {end}
      {(href ?? onPress) !== undefined && <Icon name="on" />}
    </>
  );
  return (
    <li>
      {href !== undefined ? (
        <a class="list-row" href={href}>
          {inside}
        </a>
      ) : onPress !== undefined ? (
        <button type="button" class="list-row" onClick={onPress}>
          {inside}
        </button>
      ) : (
        <div class="list-row">{inside}</div>
      )}
    </li>
  );
}

/** That there is nothing yet, and what would bring something. */
export function Empty({ children }: { children: ComponentChildren }) {
  return <div class="card empty">{children}</div>;
}

export function Unsent() {
  return (
    <span class="mark warn">
      {t("Not sent yet")}
    </span>
  );
}

export function Busy() {
  return (
    <p class="busy soft" role="status">
      {t("Reading …")}
    </p>
  );
}
