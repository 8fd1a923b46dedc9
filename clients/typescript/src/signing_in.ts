/** Signing up, by a code from the mailbox, and signing in. */

import type { components } from "../generated/api.ts";
import type { CymbaClient } from "./client.ts";
import { dataOf } from "./problems.ts";
import type { TokenPair, TokenStore } from "./sign_in.ts";

type Schemas = components["schemas"];
export type Person = Omit<Schemas["Registration"], "code">;

/** What the app is known by; kept when the person signs out, since it opens nothing. */
export interface DeviceStore {
  read(): Promise<string | null>;
  write(knownDevice: string): Promise<void>;
}

/** Ask for the code of a sign-up, which is mailed to the person. */
export async function requestCode(cymba: CymbaClient, person: Person): Promise<void> {
  dataOf(await cymba.POST("/v1/accounts", { body: person }));
}

/**
 * Make the account with the code that was mailed.
 *
 * @throws ProblemError `code-not-good`, or `email-taken` where an answer was lost: sign in then.
 */
export async function confirm(
  cymba: CymbaClient,
  person: Person,
  code: string,
): Promise<Schemas["Account"]> {
  return dataOf(await cymba.POST("/v1/accounts", { body: { ...person, code } })) as Schemas["Account"];
}

/** Sign in, and keep what was given. Strangers' guesses never hold up an app that is known. */
export async function signIn(
  cymba: CymbaClient,
  credentials: { email: string; password: string },
  keep: { tokens: TokenStore; device: DeviceStore },
): Promise<TokenPair> {
  const known_device = await keep.device.read();
  const body = { ...credentials, ...(known_device === null ? {} : { known_device }) };
  const { known_device: next, ...pair } = dataOf(await cymba.POST("/v1/auth/token", { body }));
  await keep.device.write(next);
  await keep.tokens.write(pair);
  return pair;
}
