import type { ComponentChildren } from "preact";
import { ProblemBanner } from "./banner.tsx";
import { Busy } from "./card.tsx";
import type { Answer } from "../data/use.ts";
import { isOffline } from "../data/use.ts";
import { fromNow } from "../shell/format.ts";
import { t } from "../shell/language.ts";

/** In place of an answer: that it is being read, or why there is none. */
export function Unanswered({ problem }: { problem: unknown }) {
  return problem === null ? <Busy /> : <ProblemBanner problem={problem} />;
}

/** What an answer says, or that there is none yet; an old one with its age. */
export function Answered<T>(props: { answer: Answer<T>; children: (data: T) => ComponentChildren }) {
  const { data, readAt, problem } = props.answer;
  if (data === null) return <Unanswered problem={problem} />;
  return (
    <>
      {problem !== null && (
        <p class="soft small" role="status">
          {isOffline(problem) ? t("No connection.") : t("The server did not answer as it should.")}{" "}
          {readAt !== null && t("This is from {when}.", { when: fromNow(readAt) })}
        </p>
      )}
      {props.children(data)}
    </>
  );
}
