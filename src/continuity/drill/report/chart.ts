import type { DrillRecord } from "../record.ts";
import { inSeconds } from "../words.ts";

const WIDTH = 860;
const HEIGHT = 200;
const LEFT = 64;
const RIGHT = 12;
const TOP = 22;
const BOTTOM = 26;

/** Answers over time as bars: what was blocked, what stood in, errors; the time of the block is shaded. SVG without anything from outside. */
export function answersChart(record: DrillRecord): string {
  const { points } = record.series;
  const top = Math.max(1, ...points.map(({ blocked, others, errors }) => blocked + others + errors));
  const step = (WIDTH - LEFT - RIGHT) / Math.max(1, points.length);
  const bars = points.flatMap(({ blocked, others, errors }, at) => {
    let base = HEIGHT - BOTTOM;
    return (
      [
        ["blocked", blocked],
        ["others", others],
        ["errors", errors],
      ] as const
    ).flatMap(([kind, count]) => {
      if (count === 0) return [];
      const height = ((HEIGHT - TOP - BOTTOM) * count) / top;
      base -= height;
      return [rectangle(kind, LEFT + at * step, base, Math.max(1, step - 1), height)];
    });
  });
  return frame(record, "Answers over time", `${top} in ${inSeconds(record.series.stepMs)}`, bars.join(""));
}

/** Latency (p95) over time. */
export function latencyChart(record: DrillRecord): string {
  const { points } = record.series;
  const top = Math.max(1, ...points.map(({ p95Ms }) => p95Ms ?? 0));
  const step = (WIDTH - LEFT - RIGHT) / Math.max(1, points.length);
  const marks = points.flatMap(({ p95Ms }, at) => {
    if (p95Ms === null) return [];
    const x = LEFT + (at + 0.5) * step;
    const y = HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * p95Ms) / top;
    return [{ x: round(x), y: round(y) }];
  });
  const line =
    marks.length < 2 ? "" : `<polyline class="line" points="${marks.map(({ x, y }) => `${x},${y}`).join(" ")}"/>`;
  const dots = marks.map(({ x, y }) => `<circle class="dot" cx="${x}" cy="${y}" r="2.5"/>`).join("");
  return frame(record, "Latency over time", inSeconds(top), line + dots);
}

function frame(record: DrillRecord, title: string, topLabel: string, content: string): string {
  const { startMs, stepMs, points } = record.series;
  const endMs = startMs + stepMs * Math.max(1, points.length);
  const xAt = (atMs: number): number =>
    LEFT + (WIDTH - LEFT - RIGHT) * Math.min(1, Math.max(0, (atMs - startMs) / (endMs - startMs)));
  const shade = record.blockedAtMs === null ? "" : block(xAt(record.blockedAtMs), xAt(record.unblockedAtMs ?? endMs));
  const floor = HEIGHT - BOTTOM;
  return [
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${title}">`,
    shade,
    content,
    `<line class="axis" x1="${LEFT}" y1="${floor}" x2="${WIDTH - RIGHT}" y2="${floor}"/>`,
    `<text x="${LEFT - 6}" y="${TOP + 4}" text-anchor="end">${topLabel}</text>`,
    `<text x="${LEFT - 6}" y="${floor + 4}" text-anchor="end">0</text>`,
    `<text x="${LEFT}" y="${HEIGHT - 8}">${clockOf(startMs)}</text>`,
    `<text x="${WIDTH - RIGHT}" y="${HEIGHT - 8}" text-anchor="end">${clockOf(endMs)} UTC</text>`,
    "</svg>",
  ].join("");
}

function block(from: number, to: number): string {
  const width = Math.max(1, to - from);
  const label =
    width < 60
      ? ""
      : `<text class="shade-text" x="${round(from + width / 2)}" y="13" text-anchor="middle">blocked</text>`;
  return `${rectangle("shade", from, 0, width, HEIGHT - BOTTOM)}${label}`;
}

function rectangle(kind: string, x: number, y: number, width: number, height: number): string {
  return `<rect class="${kind}" x="${round(x)}" y="${round(y)}" width="${round(width)}" height="${round(height)}"/>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function clockOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(11, 19);
}
