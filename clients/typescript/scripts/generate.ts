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

// Each example of the document as a constant of the type that was made of its schema: what the
// compiler refuses here, an app could not be written against.
const samples: string[] = [];
for (const [path, item] of Object.entries<Record<string, any>>(document.paths)) {
  for (const [method, operation] of Object.entries<any>(item)) {
    const type = `paths[${JSON.stringify(path)}][${JSON.stringify(method)}]`;
    const sent = operation.requestBody?.content?.["application/json"];
    if (sent?.example !== undefined) {
      samples.push(sample(sent.example, `NonNullable<${type}["requestBody"]>["content"]["application/json"]`));
    }
    for (const [status, answer] of Object.entries<any>(operation.responses ?? {})) {
      const media = answer.content?.["application/json"];
      if (media?.example !== undefined) {
        samples.push(sample(media.example, `${type}["responses"][${status}]["content"]["application/json"]`));
      }
    }
  }
}
for (const { value } of Object.values<any>(document.components.examples)) {
  samples.push(sample(value, 'components["schemas"]["Problem"]'));
}
function sample(value: unknown, type: string): string {
  return `export const sample_${samples.length}: ${type} = ${JSON.stringify(value)};`;
}
const examples = `import type { components, paths } from "./api.ts";\n\n${samples.join("\n")}\n`;

const folder = new URL("../generated/", import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL("api.ts", folder), astToString(await openapiTS(document, { defaultNonNullable: false })));
await writeFile(new URL("problems.ts", folder), problems);
await writeFile(new URL("examples.ts", folder), examples);
await writeFile(new URL("paths.ts", folder), paths);
