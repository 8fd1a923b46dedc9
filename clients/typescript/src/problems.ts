/** Problem details (RFC 9457), as every error of the API is told. */

import type { components } from "../generated/api.ts";
import type { ProblemCode } from "../generated/problems.ts";

export type { ProblemCode };
export type Problem = components["schemas"]["Problem"];

const PREFIX = "urn:cymba:problem:";

/** The code of a problem; a string for one that this version of the client does not know. */
export function codeOf(problem: Problem): ProblemCode | (string & {}) {
  return problem.type.startsWith(PREFIX) ? problem.type.slice(PREFIX.length) : problem.type;
}

/** An answer that is not a success, where a caller wants it thrown. */
export class ProblemError extends Error {
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`);
    this.name = "ProblemError";
    this.problem = problem;
  }

  get code(): ProblemCode | (string & {}) {
    return codeOf(this.problem);
  }
}

/** The data of an answer of the typed client, or its problem thrown. */
export function dataOf<T>(answer: { data?: T; error?: unknown; response: Response }): T {
  if (!answer.response.ok) throw new ProblemError(answer.error as Problem);
  return answer.data as T;
}
