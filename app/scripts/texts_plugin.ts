/** Gives the app its texts in another language: `import("virtual:texts/de")`, from locale/de/*.po. */

import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import { readCatalogue } from "./catalogue.ts";

const NAME = "virtual:texts/";

export function texts(folder: string): Plugin {
  return {
    name: "cymba-texts",
    resolveId: (id) => (id.startsWith(NAME) ? `\0${id}` : null),
    load(id) {
      if (!id.startsWith(`\0${NAME}`)) return null;
      const language = join(folder, id.slice(NAME.length + 1));
      for (const file of readdirSync(language)) this.addWatchFile(join(language, file));
      const entries = readCatalogue(language).map((one) => [one.id, one.said]);
      return `export default ${JSON.stringify(Object.fromEntries(entries))};`;
    },
  };
}
