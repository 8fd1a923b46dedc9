/** Who is on this device: signing up, in and out, and the entries from before. */

import { signal } from "@preact/signals";
import { confirm, createCymba, dataOf, requestCode, signIn as askForTokens, type TokenPair } from "@cymba/client";
import { Dexie } from "dexie";
import { Account, clientOptions, databasesOf, fixedTokens, NOBODY } from "./account.ts";
import { here } from "../shell/format.ts";
import { LANGUAGES, language } from "../shell/look.ts";
import { device, knownDeviceName, readState, type Resident, writeState } from "./kept.ts";

export interface Entrance {
  email: string;
  password: string;
}

/** The account that the app shows. Before the first sign-in it is nobody's, kept here alone. */
export const account = signal<Account>(new Account(NOBODY));
export const resident = signal<Resident | null>(null);

const CURRENT = "current";
/** Tells the other tabs that somebody came or left; they begin anew, as whoever is here now. */
const others = new BroadcastChannel("cymba");
others.onmessage = () => location.reload();
const open = createCymba(clientOptions(fixedTokens(null)));

/** Open what was open last. */
export async function openLast(): Promise<void> {
  const id = await readState(CURRENT);
  const found = id === null ? undefined : await device.residents.get(id);
  resident.value = found ?? null;
  if (found !== undefined) account.value = new Account(found.accountId);
  await account.value.start();
  void wipeLeftovers();
}

/** Ask for the code that makes an account. The answer is the same for an address that has one. */
export async function askForCode(given: Entrance, language: string): Promise<void> {
  await requestCode(open, personOf(given, language));
}

export async function signUp(given: Entrance, code: string, language: string): Promise<void> {
  await confirm(open, personOf(given, language), code.trim());
  await signIn(given);
}

function personOf(given: Entrance, language: string) {
  return { ...given, name: "", time_zone: here, locale: language };
}

export async function signIn(given: Entrance): Promise<void> {
  const name = await knownDeviceName(given.email);
  const known = {
    read: async () => await readState(name),
    write: async (token: string) => await writeState(name, token),
  };
  // Whose the tokens are, `enter` asks first, and keeps them then.
  const pair = await askForTokens(open, given, { tokens: fixedTokens(null), device: known });
  await enter(pair, given.email);
}

async function enter(tokens: TokenPair, email: string): Promise<void> {
  const asker = createCymba(clientOptions(fixedTokens(tokens)));
  const { id, locale } = dataOf(await asker.GET("/v1/account"));
  const one: Resident = { accountId: id, email, tokens };
  await device.residents.put(one);
  await writeState(CURRENT, id);
  account.peek().stop();
  const entered = new Account(id);
  await entered.start();
  resident.value = one;
  account.value = entered;
  language.value = LANGUAGES.find((known) => known === locale.slice(0, 2)) ?? language.value;
  others.postMessage("entered");
  // Else a browser may clear what waits for the network when the disk is full.
  void navigator.storage?.persist?.();
}

export async function askForReset(email: string): Promise<void> {
  dataOf(await open.POST("/v1/auth/reset", { body: { email } }));
}

export async function reset(code: string, new_password: string): Promise<void> {
  dataOf(await open.POST("/v1/auth/reset/confirm", { body: { code: code.trim(), new_password } }));
}

/** End the sign-in and forget all of the account on this device. What waits is lost: ask before. */
export async function signOut(): Promise<void> {
  const leaving = account.peek();
  const token = resident.peek()?.tokens?.refresh_token;
  if (token !== undefined) {
    // Without a network the server ends it by itself, in time.
    await open.POST("/v1/auth/logout", { body: { refresh_token: token } }).catch(() => undefined);
  }
  await leave(leaving);
}

/** The account is gone, or its person leaves: nothing of it stays here. */
export async function leave(leaving: Account): Promise<void> {
  await device.residents.delete(leaving.id);
  await writeState(CURRENT, null);
  const next = new Account(NOBODY);
  await next.start();
  resident.value = null;
  account.value = next;
  others.postMessage("left");
  await leaving.wipe();
}

/** Wipe what belongs to nobody here any more: the app may have been closed while somebody left. */
async function wipeLeftovers(): Promise<void> {
  const residents = (await device.residents.toArray()).map((one) => one.accountId);
  const kept = [NOBODY, ...residents].flatMap(databasesOf);
  const found = (await indexedDB.databases?.()) ?? [];
  for (const { name } of found) {
    if (name?.startsWith("cymba-") && !kept.includes(name)) await Dexie.delete(name);
  }
}

/** How many entries were written here before anybody signed in. */
export async function countFromBefore(): Promise<number> {
  if (account.peek().isNobody) return 0;
  const before = new Account(NOBODY);
  const ids = new Set((await before.engine.queue()).map((one) => one.entity_id));
  before.stop();
  return ids.size;
}

/** Put what was written before into the account that is open, or forget it. */
export async function settleFromBefore(take: boolean): Promise<void> {
  const before = new Account(NOBODY);
  const into = account.peek();
  if (take) {
    for (const one of await before.engine.queue()) {
      const fields = one.action === "delete" ? null : { ...one.fields };
      await into.edit(one.kind, one.entity_id, fields);
    }
  }
  await before.wipe();
}
