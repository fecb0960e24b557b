/** Most lines of a metrics answer that are looked at; vLLM's have a few thousand with many models and histograms. */
const MAX_METRIC_LINES = 20_000;

/** Longest line that is looked at. */
const MAX_METRIC_LINE_LENGTH = 2_048;

/** How several samples of one metric become one number. */
export type Combine = "sum" | "max";

/**
 * Reads single metrics out of a Prometheus text answer, whatever else stands in it. Labels are not told apart: samples of several
 * engines or ranks are summed up, or the largest is taken.
 *
 * @param wanted Full names of metrics.
 * @returns A number for each wanted metric that is there with a finite value of at least zero. Does not throw.
 */
export function readMetrics(text: string, wanted: Readonly<Record<string, Combine>>): Map<string, number> {
  const found = new Map<string, number>();
  let start = 0;
  for (let lines = 0; start < text.length && lines < MAX_METRIC_LINES; lines += 1) {
    const newline = text.indexOf("\n", start);
    const end = newline === -1 ? text.length : newline;
    if (end - start <= MAX_METRIC_LINE_LENGTH && text.charCodeAt(start) !== 0x23)
      addSample(text.slice(start, end), wanted, found);
    start = end + 1;
  }
  return found;
}

function addSample(line: string, wanted: Readonly<Record<string, Combine>>, found: Map<string, number>): void {
  const nameEnd = line.search(/[{\s]/);
  if (nameEnd === -1) return;
  const name = line.slice(0, nameEnd);
  const combine = Object.hasOwn(wanted, name) ? wanted[name] : undefined;
  if (combine === undefined) return;
  // The last brace ends the labels, whose values may hold braces and spaces of their own.
  const labelsEnd = line.lastIndexOf("}");
  const [word = ""] = line
    .slice(labelsEnd === -1 ? nameEnd : labelsEnd + 1)
    .trim()
    .split(/\s+/, 1);
  const value = word === "" ? Number.NaN : Number(word);
  if (!Number.isFinite(value) || value < 0) return;
  const known = found.get(name);
  if (known === undefined) found.set(name, value);
  else found.set(name, combine === "sum" ? known + value : Math.max(known, value));
}
