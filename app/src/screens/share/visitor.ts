/**
 * Whoever opens a share's link: its token is in the fragment, which no server and no log sees. A
 * share for one clinician alone opens only beside their own sign-in.
 */

import { createCymba, type CymbaClient, dataOf, type TokenPair } from "@cymba/client";
import { type Account, clientOptions, fixedTokens, tokensOf } from "../../data/account.ts";
import type { Schemas } from "../../data/use.ts";

export interface Visitor {
  api: CymbaClient;
  share: Schemas["ReceivedShare"];
}

/** The token of a link; null where it has none. */
export function tokenIn(hash: string): string | null {
  const token = decodeURIComponent(hash.replace(/^#/, ""));
  return token === "" ? null : token;
}

/** @throws the problem, where the share opens nothing for this visitor. */
export async function visit(token: string, account: Account): Promise<Visitor> {
  const api = account.isNobody ? alone(token) : beside(token, account);
  const share = dataOf(await api.GET("/v1/shares/current"));
  return { api, share };
}

function alone(token: string): CymbaClient {
  const pair = { access_token: token, refresh_token: "" } as TokenPair;
  return createCymba(clientOptions(fixedTokens(pair)));
}

function beside(token: string, account: Account): CymbaClient {
  const client = createCymba(clientOptions(tokensOf(account.id)));
  client.use({ onRequest: ({ request }) => request.headers.set("Cymba-Share", token) });
  return client;
}
