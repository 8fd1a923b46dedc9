/**
 * Writes `generated/` from the API's document: `node scripts/generate.ts openapi.json`.
 *
 * Besides the types: the codes of problems, the paths that need no token, and those whose POST takes
 * an Idempotency-Key.
 */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";

const [from] = process.argv.slice(2);
if (from === undefined) throw new Error("Say where the API's document is.");
const document = JSON.parse(await readFile(from, "utf8"));

const codes = Object.keys(document.components.examples).sort();
const problems = `/** What went wrong, by the end of a problem's \`type\`. A later server may know others. */
export type ProblemCode =
${codes.map((code) => `  | ${JSON.stringify(code)}`).join("\n")};
`;

interface Operation {
  security?: unknown[];
  parameters?: { name: string }[];
}
const items = Object.entries<Record<string, Operation>>(document.paths);
const open = items.filter(([, item]) => Object.values(item).some(({ security }) => security?.length === 0));
const keyed = items.filter(([, { post }]) => post?.parameters?.some(({ name }) => name === "Idempotency-Key"));
const listed = (found: typeof items) => JSON.stringify(found.map(([path]) => path), null, 2);
const paths = `/** Paths that ask for no token. What they answer with 401 is no token that has ended. */
export const PUBLIC_PATHS: readonly string[] = ${listed(open)};

/** Paths whose POST may be sent again under its Idempotency-Key. */
export const KEYED_PATHS: readonly string[] = ${listed(keyed)};
`;

const folder = new URL("../generated/", import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL("api.ts", folder), astToString(await openapiTS(document, { defaultNonNullable: false })));
await writeFile(new URL("problems.ts", folder), problems);
await writeFile(new URL("paths.ts", folder), paths);
