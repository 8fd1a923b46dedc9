/** A picture that the server draws, in this screen's colours and size; the last one is kept. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ProblemBanner } from "./banner.tsx";
import { useAnswer } from "../data/use.ts";
import { isDark, textSize } from "../shell/look.ts";
import { t } from "../shell/language.ts";

const TEXT_PERCENT = { normal: "100", large: "125", largest: "150" } as const;
const STEP_PX = 20; // a few pixels more of room ask for no other picture
const NARROWEST_PX = 320;
const WIDEST_PX = 860;

interface PictureProps {
  /** Of the API, such as `/v1/history/pain_now/calendar/plot.svg`. */
  path: string;
  query?: Record<string, string>;
  /** What it shows, in words. */
  alt: string;
}

export function Picture({ path, query = {}, alt }: PictureProps) {
  const room = useRef<HTMLElement>(null);
  const width = useSignal<number | null>(null);
  useEffect(() => {
    // Also when a phone is turned
    const follows = new ResizeObserver(([seen]) => {
      const px = Math.min(Math.max(seen!.contentRect.width, NARROWEST_PX), WIDEST_PX);
      width.value = Math.floor(px / STEP_PX) * STEP_PX;
    });
    follows.observe(room.current!);
    return () => follows.disconnect();
  }, []);
  const look = {
    theme: isDark.value ? "dark" : "light",
    text_percent: TEXT_PERCENT[textSize.value],
    width: String(width.value),
  };
  const asked = `${path}?${new URLSearchParams({ ...query, ...look }).toString()}`;
  const { value } = useAnswer<string>(width.value === null ? null : asked, async (account) => {
    const response = await account.fetch(asked);
    if (!response.ok) throw new Error(`the server does not answer with a picture: ${response.status}`);
    return await response.text();
  });
  return (
    <figure class="picture" ref={room}>
      {value.value.data !== null && <Drawing svg={value.value.data} alt={alt} />}
      {value.value.data === null && <ProblemBanner problem={value.value.problem} />}
      <details class="unfolds">
        <summary>{t("The picture in words")}</summary>
        <p>{alt}</p>
      </details>
    </figure>
  );
}

function Drawing({ svg, alt }: { svg: string; alt: string }) {
  const source = useSignal("");
  const drawn = useSignal(svg);
  drawn.value = svg;
  useSignalEffect(() => {
    const url = URL.createObjectURL(new Blob([drawn.value], { type: "image/svg+xml" }));
    source.value = url;
    return () => URL.revokeObjectURL(url);
  });
  return source.value === "" ? null : <img src={source.value} alt={alt} />;
}
