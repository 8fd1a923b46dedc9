/** Draws the app's icons into public/icons: a boat on a wave, as an SVG and as PNG files. */

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { crc32, deflateSync } from "node:zlib";

const GROUND = "#14181b";
const BOAT = "#7fd1c4";
const WAVE = "#3f8f86";

// In a square of 100. The hull lies between two circles, the wave between two others.
const HULL = { out: [50, 34, 30], cut: [50, 22, 32] } as const;
const RIPPLE = { out: [50, 44, 36], cut: [50, 40.5, 36] } as const;
const MOON = [50, 24, 6] as const;

type Circle = readonly [x: number, y: number, radius: number];
type Crescent = { out: Circle; cut: Circle };

/** How far outside of a shape a point is; negative inside. */
const circle = ([cx, cy, radius]: Circle, x: number, y: number) => Math.hypot(x - cx, y - cy) - radius;
const crescent = (shape: Crescent, x: number, y: number) =>
  Math.max(circle(shape.out, x, y), -circle(shape.cut, x, y), shape.out[1] + 4 - y);

function hex(colour: string): number[] {
  return [1, 3, 5].map((at) => Number.parseInt(colour.slice(at, at + 2), 16));
}

/** `room`: the share of the square that the drawing takes; a mask may cut away the rest. */
function png(size: number, room: number): Buffer {
  const rows = Buffer.alloc(size * (size * 3 + 1));
  const scale = 100 / (size * room);
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      const x = 50 + (column + 0.5 - size / 2) * scale;
      const y = 46 + (row + 0.5 - size / 2) * scale;
      let pixel = hex(GROUND);
      for (const [colour, distance] of [
        [WAVE, crescent(RIPPLE, x, y)],
        [BOAT, Math.min(crescent(HULL, x, y), circle(MOON, x, y))],
      ] as const) {
        const cover = Math.min(Math.max(0.5 - distance / scale, 0), 1);
        pixel = pixel.map((old, at) => Math.round(old + (hex(colour)[at]! - old) * cover));
      }
      rows.set(pixel, row * (size * 3 + 1) + 1 + column * 3);
    }
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(size, 0);
  head.writeUInt32BE(size, 4);
  head.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", head),
    chunk("IDAT", deflateSync(rows, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

function chunk(name: string, body: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(name, "latin1"), body]);
  const framed = Buffer.alloc(named.length + 8);
  framed.writeUInt32BE(body.length, 0);
  framed.set(named, 4);
  framed.writeUInt32BE(crc32(named), named.length + 4);
  return framed;
}

/** A crescent below `out[1] + 4` as a path of SVG. */
function path({ out, cut }: Crescent): string {
  const y = out[1] + 4;
  const half = ([, cy, radius]: Circle) => Math.sqrt(Math.max(radius ** 2 - (y - cy) ** 2, 0));
  const [wide, narrow] = [half(out), half(cut)].map((one) => Math.round(one * 100) / 100) as [number, number];
  return `M${50 - wide} ${y}A${out[2]} ${out[2]} 0 0 0 ${50 + wide} ${y}H${50 + narrow}A${cut[2]} ${cut[2]} 0 0 1 ${50 - narrow} ${y}Z`;
}

const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 -4 100 100">
<rect y="-4" width="100" height="100" rx="22" fill="${GROUND}"/>
<path d="${path(RIPPLE)}" fill="${WAVE}"/>
<path d="${path(HULL)}" fill="${BOAT}"/>
<circle cx="${MOON[0]}" cy="${MOON[1]}" r="${MOON[2]}" fill="${BOAT}"/>
</svg>
`;

const folder = fileURLToPath(new URL("../public/icons/", import.meta.url));
mkdirSync(folder, { recursive: true });
writeFileSync(`${folder}icon.svg`, svg);
writeFileSync(`${folder}180.png`, png(180, 1));
writeFileSync(`${folder}192.png`, png(192, 1));
writeFileSync(`${folder}512.png`, png(512, 1));
writeFileSync(`${folder}maskable.png`, png(512, 0.75));
