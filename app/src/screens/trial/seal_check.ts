/**
 * Whether a trial's seal holds, as docs/experiments.md says how to check it: from the answer's own
 * text, because 25 and 25.0 are one number here, and two texts in the seal.
 */

interface Answer {
  plan: { pairs: AsWritten };
  seal: string;
  seed: string;
  blocks: { arm: string | null }[];
}

/** A number as the answer writes it. */
class AsWritten {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** null: this browser does not give the text of a number, and cannot tell. */
export async function sealHolds(answerText: string): Promise<boolean | null> {
  let isTold = true;
  const read = function (_name: string, value: unknown, context?: { source?: string }): unknown {
    if (typeof value !== "number") return value;
    if (context?.source === undefined) isTold = false;
    return new AsWritten(context?.source ?? String(value));
  };
  const trial = JSON.parse(answerText, read as (name: string, value: unknown) => unknown) as Answer;
  if (!isTold) return null;
  const seed = Uint8Array.from(trial.seed.match(/../g) ?? [], (two) => Number.parseInt(two, 16));
  const plan = new TextEncoder().encode(canonical(trial.plan));
  const digest = await crypto.subtle.digest("SHA-256", new Uint8Array([...seed, ...plan]));
  if (hex(new Uint8Array(digest)) !== trial.seal) return false;
  return await ordersHold(trial, seed);
}

/** The coin of a pair is the lowest bit of HMAC-SHA256(seed, "pair <number>"). */
async function ordersHold(trial: Answer, seed: Uint8Array<ArrayBuffer>): Promise<boolean> {
  const hash = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", seed, hash, false, ["sign"]);
  for (let pair = 0; pair < Number(trial.plan.pairs.text); pair++) {
    const signed = await crypto.subtle.sign("HMAC", key, new TextEncoder().encode(`pair ${pair}`));
    const coin = (new Uint8Array(signed).at(-1) ?? 0) & 1;
    if (trial.blocks[2 * pair]?.arm !== (coin === 1 ? "full" : "comparison")) return false;
  }
  return true;
}

/** JSON with sorted names and no spaces. */
function canonical(value: unknown): string {
  if (value instanceof AsWritten) return value.text;
  if (Array.isArray(value)) return `[${value.map(canonical).join(",")}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const members = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return `{${members.map(([name, of]) => `${JSON.stringify(name)}:${canonical(of)}`).join(",")}}`;
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
