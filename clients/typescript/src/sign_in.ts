/**
 * Staying signed in: the access token for each request, and its refresh, one at a time.
 *
 * Tabs and processes of one app share a `TokenStore`. Whoever refreshes first stores the pair, and
 * the others find it there. Where they cannot wait for each other, the server gives all of them the
 * same pair (docs/mobile-sync.md).
 */

import type { components } from "../generated/api.ts";
import { urlOf } from "./places.ts";
import { backoffMs, type Sleep, sleepFor } from "./waiting.ts";

export type TokenPair = components["schemas"]["TokenPair"];

/** Where the app keeps its tokens: the system's key store, or what is closest to one. */
export interface TokenStore {
  read(): Promise<TokenPair | null>;
  write(pair: TokenPair | null): Promise<void>;
}

/** The person has to sign in again; what the app keeps offline stays. */
export class SignedOut extends Error {
  constructor() {
    super("The sign-in has ended. Sign in again.");
    this.name = "SignedOut";
  }
}

/** For how long a refresh whose answer was lost may be tried again. */
const RETRY_FOR_MS = 110_000;

export class SignIn {
  readonly #baseUrl: string;
  readonly #tokens: TokenStore;
  readonly #fetch: typeof fetch;
  readonly #sleep: Sleep;
  #refreshing: Promise<TokenPair> | null = null;

  constructor(
    baseUrl: string,
    tokens: TokenStore,
    options: { fetch?: typeof fetch; sleep?: Sleep } = {},
  ) {
    this.#baseUrl = baseUrl;
    this.#tokens = tokens;
    this.#fetch = options.fetch ?? globalThis.fetch.bind(globalThis);
    this.#sleep = options.sleep ?? sleepFor;
  }

  /** @throws SignedOut */
  async accessToken(): Promise<string> {
    const pair = await this.#tokens.read();
    if (pair === null) throw new SignedOut();
    return pair.access_token;
  }

  /**
   * The pair after `refused`, the access token that the server no longer takes.
   *
   * @throws SignedOut
   */
  async refresh(refused: string): Promise<TokenPair> {
    this.#refreshing ??= alone(() => this.#refreshNow(refused)).finally(() => {
      this.#refreshing = null;
    });
    return await this.#refreshing;
  }

  async #refreshNow(refused: string): Promise<TokenPair> {
    const pair = await this.#tokens.read();
    if (pair === null) throw new SignedOut();
    if (pair.access_token !== refused) return pair; // another tab or process was faster
    const end = Date.now() + RETRY_FOR_MS;
    for (let tries = 0; ; tries++) {
      const response = await this.#ask(pair.refresh_token);
      if (response?.ok) {
        const next = (await response.json()) as TokenPair;
        await this.#tokens.write(next);
        return next;
      }
      if (response !== null && response.status < 500 && response.status !== 429) {
        await this.#tokens.write(null);
        throw new SignedOut();
      }
      const waitMs = backoffMs(tries, response);
      if (Date.now() + waitMs > end) throw new Error("The server does not answer. Try again later.");
      await this.#sleep(waitMs);
    }
  }

  async #ask(refresh_token: string): Promise<Response | null> {
    try {
      return await this.#fetch(urlOf(this.#baseUrl, "/v1/auth/refresh"), {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ refresh_token }),
      });
    } catch {
      return null; // no answer: it may have been lost on its way back
    }
  }
}

/** Run `work` while no other tab of this origin does; elsewhere there are no tabs. */
async function alone<T>(work: () => Promise<T>): Promise<T> {
  const locks = globalThis.navigator?.locks;
  return locks === undefined ? await work() : await locks.request("cymba-refresh", work);
}
