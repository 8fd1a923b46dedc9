/**
 * The body from the front and from behind, to press on. The list beside it says the same to whoever
 * does not see it, so it is hidden from them.
 */

import { t } from "../../shell/language.ts";

type Shape = readonly [site: string, path: string];

// Each figure stands in 100 × 250, its middle at x = 50. Both sides are one region.
const both = (path: (side: 1 | -1) => string) => `${path(1)}${path(-1)}`;
const x = (side: 1 | -1, from: number) => 50 + side * from;
const oval = (cx: number, cy: number, rx: number, ry: number) =>
  `M${cx - rx} ${cy}a${rx} ${ry} 0 1 0 ${2 * rx} 0a${rx} ${ry} 0 1 0 ${-2 * rx} 0z`;
const limb = (points: readonly (readonly [number, number])[]) => (side: 1 | -1) =>
  `M${points.map(([from, y]) => `${x(side, from)} ${y}`).join("L")}z`;

const LIMBS: readonly Shape[] = [
  ["shoulder", both((side) => oval(x(side, 23), 57, 10, 9))],
  ["arm", both(limb([[22, 64], [34, 60], [42, 124], [34, 126]]))],
  ["hand", both((side) => oval(x(side, 40), 135, 6, 9))],
  ["hip", both(limb([[2, 113], [21, 111], [23, 132], [3, 136]]))],
  ["leg", both(limb([[3, 137], [23, 133], [20, 176], [8, 176]])) + both(limb([[8, 192], [19, 192], [15, 229], [9, 229]]))],
  ["knee", both((side) => oval(x(side, 14), 184, 7, 8))],
  ["foot", both((side) => oval(x(side, 15), 237, 9, 7))],
];
const FRONT: readonly Shape[] = [
  ["head", oval(50, 20, 16, 18)],
  ["face", oval(50, 25, 10, 12)],
  ["ear", both((side) => oval(x(side, 17), 24, 4, 6))],
  ["neck", "M43 38h14v10h-14z"],
  ["chest", "M29 50Q50 44 71 50L68 82H32z"],
  ["abdomen", "M32 83H68L71 111H29z"],
  ...LIMBS,
];
const BACK: readonly Shape[] = [
  ["head", oval(50, 20, 16, 18)],
  ["ear", both((side) => oval(x(side, 17), 24, 4, 6))],
  ["neck", "M43 38h14v10h-14z"],
  ["upper_back", "M29 50Q50 44 71 50L68 82H32z"],
  ["lower_back", "M32 83H68L71 111H29z"],
  ...LIMBS,
];

export function BodyMap(props: { chosen: string[]; onToggle: (site: string) => void }) {
  return (
    <div class="body-map" aria-hidden="true">
      <Figure title={t("Front")} shapes={FRONT} {...props} />
      <Figure title={t("Behind")} shapes={BACK} {...props} />
    </div>
  );
}

function Figure(props: {
  title: string;
  shapes: readonly Shape[];
  chosen: string[];
  onToggle: (site: string) => void;
}) {
  const isAll = props.chosen.includes("widespread");
  return (
    <figure>
      <svg viewBox="0 0 100 250">
        {props.shapes.map(([site, path]) => (
          <path
            key={site}
            d={path}
            class={isAll || props.chosen.includes(site) ? "site chosen" : "site"}
            onClick={() => props.onToggle(site)}
          />
        ))}
      </svg>
      <figcaption class="soft small">{props.title}</figcaption>
    </figure>
  );
}
