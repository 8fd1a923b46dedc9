/** A picture that the server draws, in this screen's colours and size; the last one is kept. */

import { useSignal, useSignalEffect } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { ProblemBanner } from "./banner.tsx";
import { drawn, lookFor, type Pictured, pictureKey } from "../data/pictures.ts";
import { useAnswer } from "../data/use.ts";
import { t } from "../shell/language.ts";

interface PictureProps extends Pictured {
  /** What it shows, in words. */
  alt: string;
}

export function Picture({ alt, ...of }: PictureProps) {
  const place = useRef<HTMLElement>(null);
  const room_px = useSignal<number | null>(null);
  useEffect(() => {
    // Also when a phone is turned
    const follows = new ResizeObserver(([seen]) => void (room_px.value = seen!.contentRect.width));
    follows.observe(place.current!);
    return () => follows.disconnect();
  }, []);
  const look = room_px.value === null ? "" : lookFor(room_px.value);
  const { value } = useAnswer<string>(
    look === "" ? null : pictureKey(of),
    async (account) => await drawn(account, of, look),
    look,
  );
  return (
    <figure class="picture" ref={place}>
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
