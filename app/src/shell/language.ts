/**
 * The app's words. Every text stands in the code in English, as a literal: `t("Sign in")`. Other
 * languages are in locale/, one .po file for each part of the app; `make app` says what is missing.
 */

import { effect, signal } from "@preact/signals";
import { type Language, language } from "./look.ts";

type Texts = Record<string, string[]>;
type Values = Record<string, string | number>;

const catalogues: Record<Exclude<Language, "en">, () => Promise<{ default: Texts }>> = {
  de: () => import("virtual:texts/de"),
};
const loaded = signal<Texts>({});

/** Load the language's texts, now and whenever it changes. @returns once the first are there. */
export async function followLanguage(): Promise<void> {
  await new Promise<void>((resolve) => {
    effect(() => {
      const wanted = language.value;
      const load = wanted === "en" ? Promise.resolve({ default: {} }) : catalogues[wanted]();
      void load
        .then((module) => {
          if (language.peek() === wanted) loaded.value = module.default;
        })
        .finally(resolve);
    });
  });
}

/** The text in the person's language, with `{name}` filled in. */
export function t(text: string, values: Values = {}): string {
  return filled(loaded.value[text]?.[0] ?? text, values);
}

/** The same of a count: `tn("{n} entry", "{n} entries", 3)`. */
export function tn(one: string, many: string, n: number, values: Values = {}): string {
  const isOne = new Intl.PluralRules(language.value).select(n) === "one";
  const said = loaded.value[one]?.[isOne ? 0 : 1] ?? (isOne ? one : many);
  return filled(said, { n: new Intl.NumberFormat(language.value).format(n), ...values });
}

function filled(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (hole, name: string) => String(values[name] ?? hole));
}
