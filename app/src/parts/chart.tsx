/** One channel over time. uPlot draws a line of many thousand points in some milliseconds. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number, timeOfDay, timeWithSeconds } from "../shell/format.ts";
import { isDark } from "../shell/look.ts";

export interface Line {
  title: string;
  unit: string;
  /** In seconds since 1970, rising. */
  at_s: number[];
  /** null where nothing was measured: the line has a gap there. */
  values: (number | null)[];
}

const HEIGHT_PX = 150;

export function Chart({ line, zone, alt }: { line: Line; zone: string; alt: string }) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const dark = isDark.value;
  useEffect(() => {
    const into = place.current!;
    plot.current = new uPlot(optionsFor(line, zone, into), [line.at_s, line.values], into);
    const follows = new ResizeObserver(() => plot.current?.setSize({ width: into.clientWidth, height: HEIGHT_PX }));
    follows.observe(into);
    return () => {
      follows.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
    // Colours are read from the page, so another theme needs another drawing.
  }, [dark, zone, line.title, line.unit]);
  useEffect(() => plot.current?.setData([line.at_s, line.values]), [line]);
  return (
    <figure class="chart">
      <figcaption>
        {line.title} <span class="soft small">({line.unit})</span>
      </figcaption>
      <div ref={place} role="img" aria-label={alt} />
    </figure>
  );
}

function optionsFor(line: Line, zone: string, page: HTMLElement): uPlot.Options {
  const style = getComputedStyle(page);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const font = `${0.8 * Number.parseFloat(getComputedStyle(document.documentElement).fontSize)}px ${style.fontFamily}`;
  const axis = { stroke: style.color, font, grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false } };
  return {
    width: page.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { drag: { x: false, y: false } },
    tzDate: (ms) => uPlot.tzDate(new Date(ms), zone),
    ms: 1e-3,
    scales: { y: { range: (_, low, high) => padded(low, high) } },
    axes: [
      { ...axis, space: 80, size: 32, values: timesFor(zone) },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((one) => number(one, 2)) },
    ],
    series: [
      {},
      {
        label: line.title,
        stroke: style.getPropertyValue("--accent").trim() || style.color,
        width: 1.75,
        points: { show: line.at_s.length < 3 },
        spanGaps: false,
      },
    ],
  };
}

/** With seconds where the marks are closer than a minute. */
function timesFor(zone: string): uPlot.Axis.DynamicValues {
  return (_plot, ticks, _axis, _space, step_s) => {
    const say = step_s < 60 ? timeWithSeconds : timeOfDay;
    return ticks.map((at) => say(new Date(at * 1000), zone));
  };
}

/** Some room above and below, and 0 on the axis where the values begin close to it. */
function padded(low: number | null, high: number | null): [number, number] {
  const least = low ?? 0;
  const most = high ?? 1;
  const room = (most - least || Math.abs(most) || 1) * 0.1;
  return [least >= 0 && least < most / 2 ? 0 : least - room, most + room];
}
