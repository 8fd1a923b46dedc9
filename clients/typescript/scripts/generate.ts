/** Writes `generated/` from the API's document: `node scripts/generate.ts openapi.json`. */

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

const folder = new URL("../generated/", import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL("api.ts", folder), astToString(await openapiTS(document, { defaultNonNullable: false })));
await writeFile(new URL("problems.ts", folder), problems);
