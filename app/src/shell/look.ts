/** How the app looks on this device, and in which language: kept here, and set before the first paint by public/look.js. */

import { computed, effect, signal } from "@preact/signals";

export const THEMES = ["auto", "light", "dark"] as const;
export const TEXT_SIZES = ["normal", "large", "largest"] as const;
export const LANGUAGES = ["en", "de"] as const;
export type Theme = (typeof THEMES)[number];
export type TextSize = (typeof TEXT_SIZES)[number];
export type Language = (typeof LANGUAGES)[number];

const kept = document.documentElement.dataset;

function oneOf<T extends string>(options: readonly T[], value: string | undefined, usual: T): T {
  return options.find((one) => one === value) ?? usual;
}

function spoken(): Language {
  const first = navigator.languages.map((tag) => tag.slice(0, 2).toLowerCase());
  return first.map((tag) => LANGUAGES.find((one) => one === tag)).find(Boolean) ?? "en";
}

export const theme = signal<Theme>(oneOf(THEMES, kept["theme"], "auto"));
export const textSize = signal<TextSize>(oneOf(TEXT_SIZES, kept["text"], "normal"));
export const language = signal<Language>(oneOf(LANGUAGES, kept["language"], spoken()));

const night = matchMedia("(prefers-color-scheme: dark)");
const isNight = signal(night.matches);
night.addEventListener("change", () => void (isNight.value = night.matches));
/** Whether the page is dark, by the person's choice or the device's. */
export const isDark = computed(() => (theme.value === "auto" ? isNight.value : theme.value === "dark"));

export function keepLook(): void {
  effect(() => {
    const look = { theme: theme.value, text: textSize.value, language: language.value };
    Object.assign(kept, look);
    document.documentElement.lang = look.language;
    localStorage.setItem("cymba-look", JSON.stringify(look));
  });
}
