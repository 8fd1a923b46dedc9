/**
 * Checks that every text of the app is in every language: `node scripts/check_texts.ts [--write]`.
 *
 * A text is what `t("…")` and `tn("…", "…", n)` are given: always a literal. With --write, what is
 * missing is added to the .po file of its folder, to be translated there.
 */

import { appendFileSync, existsSync, globSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { readCatalogue } from "./catalogue.ts";

const LANGUAGES = ["de"];
const HEADER = `msgid ""
msgstr ""
"Language: de\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
`;
const top = fileURLToPath(new URL("../", import.meta.url));
const faults: string[] = [];

interface Text {
  id: string;
  plural: string | null;
  part: string;
}

function textsOf(file: string): Text[] {
  const [, room, screen] = file.split("/");
  const part = room === "screens" ? screen!.replace(/\.tsx?$/, "") : "app";
  const source = ts.createSourceFile(
    file,
    readFileSync(top + file, "utf8"),
    ts.ScriptTarget.Latest,
    true,
    ts.ScriptKind.TSX,
  );
  const found: Text[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && ts.isIdentifier(node.expression)) {
      const name = node.expression.text;
      const needed = name === "t" ? 1 : name === "tn" ? 2 : 0;
      const given = node.arguments.slice(0, needed);
      if (given.some((one) => !ts.isStringLiteralLike(one))) {
        const { line } = source.getLineAndCharacterOfPosition(node.getStart());
        faults.push(`${file}:${line + 1}: ${name}() takes a literal, so that it can be translated`);
      } else if (needed > 0) {
        const [id, plural] = given.map((one) => (one as ts.StringLiteral).text);
        found.push({ id: id!, plural: plural ?? null, part });
      }
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function holes(text: string): string {
  return [...text.matchAll(/\{(\w+)\}/g)].map((one) => one[1]).sort().join(", ");
}

const all = new Map<string, Text>();
for (const file of globSync("src/**/*.{ts,tsx}", { cwd: top }).sort()) {
  if (file === "src/shell/language.ts") continue;
  for (const text of textsOf(file)) if (!all.has(text.id)) all.set(text.id, text);
}

for (const language of LANGUAGES) {
  const folder = `${top}locale/${language}/`;
  const known = new Map<string, string>();
  for (const one of readCatalogue(folder)) {
    const where = `locale/${language}/${one.file}: "${one.id}"`;
    if (known.has(one.id)) faults.push(`${where} is in ${known.get(one.id)} too`);
    known.set(one.id, one.file);
    const text = all.get(one.id);
    if (text === undefined) faults.push(`${where} is no text of the app any more`);
    else if (text.plural !== one.plural) faults.push(`${where} has another plural in the code`);
    if (one.said.some((said) => said === "")) faults.push(`${where} is not translated`);
    const wanted = holes(one.plural ?? one.id);
    if (one.said.some((said) => said !== "" && holes(said) !== wanted && one.plural === null)) {
      faults.push(`${where} has other {values} than its translation`);
    }
  }
  for (const text of all.values()) {
    if (known.has(text.id)) continue;
    const file = `${folder}${text.part}.po`;
    if (!process.argv.includes("--write")) {
      faults.push(`locale/${language}/${text.part}.po lacks "${text.id}"`);
      continue;
    }
    if (!existsSync(file)) writeFileSync(file, HEADER);
    const id = JSON.stringify(text.id);
    const plural = text.plural === null ? null : JSON.stringify(text.plural);
    appendFileSync(
      file,
      plural === null
        ? `\nmsgid ${id}\nmsgstr ""\n`
        : `\nmsgid ${id}\nmsgid_plural ${plural}\nmsgstr[0] ""\nmsgstr[1] ""\n`,
    );
  }
}

if (all.size === 0) faults.push("no text was found in src/");
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exit(1);
