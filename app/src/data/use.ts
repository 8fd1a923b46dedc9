/**
 * How a screen reads: from the copy on this device, or an answer of the API that is kept here. And
 * how it does what may fail.
 */

import { type Signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { ProblemError, SignedOut } from "@cymba/client";
import type { components } from "@cymba/client";
import type { Kind } from "@cymba/client/offline";
import { account as current } from "./residents.ts";
import type { Account, Shown } from "./account.ts";

export type Schemas = components["schemas"];

/** The account that is open now; a screen is drawn anew when that changes. */
export function useAccount(): Account {
  return current.value;
}

/** A value that is read from the copy, again after each change of it; null until it was read. */
export function useCopy<T>(read: (account: Account) => Promise<T>): Signal<T | null> {
  const value = useSignal<T | null>(null);
  useSignalEffect(() => {
    const account = current.value;
    let isOld = false;
    void account.version.value;
    void read(account).then(
      (found) => {
        if (!isOld) value.value = found;
      },
      (error: unknown) => {
        if (!isOld) throw error; // else it was read from an account that has been left
      },
    );
    return () => {
      isOld = true;
    };
  });
  return value;
}

/** All of a kind that the person can write, with the mark of what was not sent. */
export function useAll(kind: Kind): Signal<Shown[] | null> {
  return useCopy(async (account) => await account.all(kind));
}

/** The server answers only somebody who has signed in, and here nobody has. */
export class NeedsAccount extends Error {}

export interface Answer<T> {
  /** null until there is one: from the network, or kept from an earlier time. */
  data: T | null;
  /** When the network gave it. */
  readAt: string | null;
  isReading: boolean;
  /** Why there is no newer one. `null` with `data` of before: there is no network. */
  problem: Error | null;
}

/**
 * An answer of the API: what is kept at once, then what the network gives, which is kept.
 *
 * `key` names it, and with another key it is read anew; null: not now. With another `turn` it is
 * read once more, under the same key.
 */
export function useAnswer<T>(
  key: string | null,
  read: (account: Account) => Promise<T>,
  turn = "",
): { value: Signal<Answer<T>>; again: () => void } {
  const value = useSignal<Answer<T>>({ data: null, readAt: null, isReading: true, problem: null });
  const asked = useSignal(0);
  const wanted = useSignal(key);
  wanted.value = key;
  const turns = useSignal(turn);
  turns.value = turn;
  useSignalEffect(() => {
    const account = current.value;
    const name = wanted.value;
    void asked.value;
    void turns.value;
    if (name === null || account.isNobody) {
      const problem = name === null ? null : new NeedsAccount();
      value.value = { data: null, readAt: null, isReading: false, problem };
      return;
    }
    let isOld = false;
    const set = (next: Partial<Answer<T>>) => {
      if (!isOld) value.value = { ...value.peek(), ...next };
    };
    void (async () => {
      try {
        const kept = await account.kept(name);
        set({ data: (kept?.body as T) ?? null, readAt: kept?.readAt ?? null, isReading: true, problem: null });
        const data = await read(account);
        const readAt = await account.keep(name, data);
        set({ data, readAt, isReading: false });
      } catch (error) {
        set({ isReading: false, problem: error as Error });
      }
    })();
    return () => {
      isOld = true;
    };
  });
  return { value: useComputed(() => value.value), again: () => void asked.value++ };
}

/** Does what may fail, such as a change that only the server can make, and keeps why it failed. */
export function useAttempt() {
  const problem = useSignal<unknown>(null);
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    problem.value = null;
    try {
      await work();
    } catch (error) {
      problem.value = error;
    }
  };
  return { problem, attempt };
}

/** Whether an error says that there is no network, which is no fault. */
export function isOffline(error: unknown): boolean {
  return error instanceof TypeError || (error instanceof Error && /does not answer/.test(error.message));
}

export { ProblemError, SignedOut };
