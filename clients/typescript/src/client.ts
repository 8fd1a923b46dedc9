/**
 * The typed client: every route of the API, by its path.
 *
 * It signs requests, refreshes tokens, and sends again what may be sent again: reads, changes under
 * an id or a version of the app's own, pushes, whose operations carry ids, and what makes something,
 * under an Idempotency-Key that it draws (or that the app sets, to go on after a restart).
 */

import createFetchClient, { type Client } from "openapi-fetch";
import type { paths } from "../generated/api.ts";
import { KEYED_PATHS, PUBLIC_PATHS } from "../generated/paths.ts";
import { patternOf, urlOf } from "./places.ts";
import { codeOf, type Problem } from "./problems.ts";
import { SignIn, type TokenStore } from "./sign_in.ts";
import { backoffMs, type Sleep, sleepFor } from "./waiting.ts";

export type CymbaClient = Client<paths>;

export interface ClientOptions {
  /** Where the API is, such as `https://cymba.example.org`. */
  baseUrl: string;
  tokens: TokenStore;
  /**
   * The tag of the app's language, as `de-AT`: what is said before there is an account, and to who
   * holds a share, is said in it. Else it is in the account's language. By default the browser says.
   */
  language?: () => string;
  fetch?: typeof fetch;
  sleep?: Sleep;
  /** How often a request is sent in all, where it may be sent again. */
  tries?: number;
}

const SENT_AGAIN = new Set(["GET", "HEAD", "PUT", "DELETE"]);
const PASSING = new Set([429, 502, 503, 504]);
const KEY = "Idempotency-Key";

export function createCymba(options: ClientOptions): CymbaClient {
  return createFetchClient<paths>({
    baseUrl: options.baseUrl,
    fetch: signedFetch(options),
  });
}

/** `fetch` for this API, also for what the typed client does not read, such as streams. */
export function signedFetch(options: ClientOptions): (request: Request) => Promise<Response> {
  const bare = options.fetch ?? globalThis.fetch.bind(globalThis);
  const sleep = options.sleep ?? sleepFor;
  const signIn = new SignIn(options.baseUrl, options.tokens, { fetch: bare, sleep });
  const most = options.tries ?? 3;
  const isOpen = new Set(PUBLIC_PATHS.map((path) => urlOf(options.baseUrl, path)));
  const keyed = KEYED_PATHS.map((path) => patternOf(options.baseUrl, path));

  return async (request) => {
    const url = request.url.replace(/[?#].*$/, "");
    if (options.language !== undefined) request.headers.set("Accept-Language", options.language());
    if (isOpen.has(url)) return await bare(request);
    const isKeyed = request.method === "POST" && keyed.some((pattern) => pattern.test(url));
    if (isKeyed && !request.headers.has(KEY)) request.headers.set(KEY, crypto.randomUUID());
    const mayRepeat =
      isKeyed || SENT_AGAIN.has(request.method) || url === urlOf(options.baseUrl, "/v1/sync");
    let token = await signIn.accessToken();
    let refreshed = false;
    for (let tries = 1; ; tries++) {
      const again = request.clone();
      request.headers.set("Authorization", `Bearer ${token}`);
      const response = await bare(request).catch((error: unknown) => {
        if (!mayRepeat || tries >= most || request.signal.aborted) throw error;
        return null;
      });
      if (response?.status === 401 && !refreshed) {
        token = (await signIn.refresh(token)).access_token;
        refreshed = true;
      } else if (response !== null && !(mayRepeat && (await passes(response)))) {
        return response;
      } else {
        if (response !== null && tries >= most) return response;
        await sleep(backoffMs(tries - 1, response));
      }
      request = again;
    }
  };
}

/** Whether the same request may be answered otherwise in a moment. */
async function passes(response: Response): Promise<boolean> {
  if (response.status !== 409) return PASSING.has(response.status);
  return codeOf((await response.clone().json()) as Problem) === "request-under-way";
}
