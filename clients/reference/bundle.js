// Writes scalar.js.gz, which /docs/scalar.js serves, from the npm package: `make reference`.
import { readFileSync, writeFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const from = new URL("node_modules/@scalar/api-reference/", import.meta.url);
const { name, version, license } = JSON.parse(readFileSync(new URL("package.json", from), "utf8"));
const bundle = readFileSync(new URL("dist/browser/standalone.js", from), "utf8");
const about = `/*! ${name} ${version}, ${license}, Copyright (c) Scalar, github.com/scalar/scalar */\n`;
const code = bundle.replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
writeFileSync(new URL("../../service/page/scalar.js.gz", import.meta.url), gzipSync(about + code, { level: 9 }));
