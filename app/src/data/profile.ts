/** The account's own particulars, which only the server changes. */

import { dataOf } from "@cymba/client";
import type { Account } from "./account.ts";
import { readState, writeState } from "./kept.ts";
import type { Schemas } from "./use.ts";

const RECEIPT = "erasure-receipt";

export async function readProfile(account: Account): Promise<Schemas["Account"]> {
  return dataOf(await account.api.GET("/v1/account"));
}

/** What is there now, as a change must name it. */
async function versionOf(account: Account): Promise<string> {
  const answer = await account.api.GET("/v1/account");
  dataOf(answer);
  return answer.response.headers.get("ETag") ?? "*";
}

export async function changeProfile(account: Account, body: Schemas["AccountChange"]): Promise<void> {
  const header = { "If-Match": await versionOf(account) };
  dataOf(await account.api.PATCH("/v1/account", { params: { header }, body }));
}

/** Erase it, and keep the receipt on this device: who is gone can sign in nowhere to read it. */
export async function eraseAccount(account: Account): Promise<void> {
  const header = { "If-Match": await versionOf(account) };
  const receipt = dataOf(await account.api.DELETE("/v1/account", { params: { header } }));
  await writeState(RECEIPT, JSON.stringify(receipt));
}

export async function keptReceipt(): Promise<Schemas["ErasureReceipt"] | null> {
  const kept = await readState(RECEIPT);
  return kept === null ? null : (JSON.parse(kept) as Schemas["ErasureReceipt"]);
}

export async function forgetReceipt(): Promise<void> {
  await writeState(RECEIPT, null);
}
