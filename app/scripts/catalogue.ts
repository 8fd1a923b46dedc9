/** The catalogue of one language: every .po file of its folder, one for each part of the app. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { po } from "gettext-parser";

export interface Entry {
  /** The English text; of a count, the singular. */
  id: string;
  plural: string | null;
  said: string[];
  file: string;
}

export function readCatalogue(folder: string): Entry[] {
  return readdirSync(folder)
    .filter((file) => file.endsWith(".po"))
    .sort()
    .flatMap((file) => {
      const read = po.parse(readFileSync(join(folder, file)));
      return Object.values(read.translations[""] ?? {})
        .filter((one) => one.msgid !== "")
        .map((one) => ({
          id: one.msgid,
          plural: one.msgid_plural ?? null,
          said: one.msgstr,
          file,
        }));
    });
}
