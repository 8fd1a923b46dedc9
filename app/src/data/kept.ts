/** What this device keeps besides an account's own copy: who is signed in here. */

import { Dexie, type EntityTable } from "dexie";
import type { TokenPair } from "@cymba/client";

/** Somebody whose account is on this device. */
export interface Resident {
  accountId: string;
  email: string;
  /** null once the server has ended the sign-in; the person's copy stays until they sign out. */
  tokens: TokenPair | null;
}

/** An answer of the API, as it was when the network was last there. */
export interface KeptAnswer {
  key: string;
  body: unknown;
  readAt: string;
}

class DeviceDatabase extends Dexie {
  declare residents: EntityTable<Resident, "accountId">;
  /** By name: `current`, and the token that spares a known device the wait of strangers. */
  declare state: EntityTable<{ name: string; value: string }, "name">;

  constructor() {
    super("cymba");
    this.version(1).stores({ residents: "accountId", state: "name" });
  }
}

export class AnswersDatabase extends Dexie {
  declare answers: EntityTable<KeptAnswer, "key">;

  constructor(name: string) {
    super(name);
    this.version(1).stores({ answers: "key" });
  }
}

export const device = new DeviceDatabase();

export async function readState(name: string): Promise<string | null> {
  return (await device.state.get(name))?.value ?? null;
}

export async function writeState(name: string, value: string | null): Promise<void> {
  if (value === null) await device.state.delete(name);
  else await device.state.put({ name, value });
}

/** The name of what is kept for an address, which does not tell the address. */
export async function knownDeviceName(email: string): Promise<string> {
  const bytes = new TextEncoder().encode(email.trim().toLowerCase());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return `known-${Array.from(digest, (one) => one.toString(16).padStart(2, "0")).join("")}`;
}
