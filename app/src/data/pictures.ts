/**
 * Pictures that the server draws, in a screen's colours and size. The last one of each is kept,
 * whatever look it has: it brings its own ground, so it can be read on any page.
 */

import { isDark, textSize } from "../shell/look.ts";
import type { Account } from "./account.ts";

const TEXT_PERCENT = { normal: "100", large: "125", largest: "150" } as const;
const STEP_PX = 20; // a few pixels more of room ask for no other picture
const NARROWEST_PX = 320;
const WIDEST_PX = 860;

/** A picture of the API's, such as `/v1/history/pain_now/calendar/plot.svg`, but for its look. */
export interface Pictured {
  path: string;
  query?: Record<string, string>;
}

export function pictureKey({ path, query = {} }: Pictured): string {
  return `picture ${path}?${new URLSearchParams(query).toString()}`;
}

/** How it is drawn for so much room, in this screen's look; a part of its address. */
export function lookFor(room_px: number): string {
  const px = Math.min(Math.max(room_px, NARROWEST_PX), WIDEST_PX);
  return new URLSearchParams({
    theme: isDark.value ? "dark" : "light",
    text_percent: TEXT_PERCENT[textSize.value],
    width: String(Math.floor(px / STEP_PX) * STEP_PX),
  }).toString();
}

/** The SVG. */
export async function drawn(account: Account, { path, query = {} }: Pictured, look: string): Promise<string> {
  const response = await account.fetch(`${path}?${new URLSearchParams(query).toString()}&${look}`);
  if (!response.ok) throw new Error(`the server does not answer with a picture: ${response.status}`);
  return await response.text();
}
