/** The head of every screen: its title, and the way back. */

import type { ComponentChildren } from "preact";
import { useLocation } from "preact-iso";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../parts/icon.tsx";
import { t } from "./language.ts";

interface ScreenProps {
  title: string;
  /** The screen above this one; none for those of the tabs. */
  back?: string;
  end?: ComponentChildren;
  children: ComponentChildren;
}

let isFirst = true;

export function Screen({ title, back, end, children }: ScreenProps) {
  const { path } = useLocation();
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    // What was pressed is gone, so the focus goes to what came; not when the app opens.
    if (!isFirst) heading.current?.focus({ preventScroll: true });
    isFirst = false;
  }, []);
  useEffect(() => {
    document.title = `${title} · Cymba`;
  }, [title]);
  return (
    <main class="screen fades" data-path={path.replace(/^\/app\/?/, "")}>
      <div class="screen-head">
        {back !== undefined && (
          <a class="button plain" href={back} aria-label={t("Back")}>
            <Icon name="back" />
          </a>
        )}
        <h1 tabIndex={-1} ref={heading}>
          {title}
        </h1>
        {end}
      </div>
      <div class="stack">{children}</div>
    </main>
  );
}
