import type { ComponentChildren } from "preact";

/** A part of the form that is opened when it is wanted, or holds something already. */
export function Folded(props: { title: string; isOpen: boolean; says?: string; children: ComponentChildren }) {
  return (
    <details class="card folded" open={props.isOpen}>
      <summary>
        <h2>{props.title}</h2>
        {props.says && <span class="soft small">{props.says}</span>}
      </summary>
      <div class="stack">{props.children}</div>
    </details>
  );
}
