import type { ComponentChildren } from "preact";
import { ProblemBanner } from "./banner.tsx";
import { Busy } from "./card.tsx";
import type { Answer } from "../data/use.ts";
import { isOffline } from "../data/use.ts";
import { fromNow } from "../shell/format.ts";
import { t } from "../shell/language.ts";

/** What an answer says, or that it is being read, or why there is none; an old one with its age. */
export function Answered<T>(props: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, readAt, isReading, problem } = props.answer;
  return (
    <>
      {data === null && isReading && <Busy />}
      {data === null && <ProblemBanner problem={problem} />}
      {data !== null && problem !== null && (
        <p class="soft small" role="status">
          {isOffline(problem) ? t("No connection.") : t("The server did not answer as it should.")}{" "}
          {readAt !== null && t("This is from {when}.", { when: fromNow(readAt) })}
        </p>
      )}
      {data !== null && props.children(data)}
    </>
  );
}
