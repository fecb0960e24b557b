import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { ROOT, readPage } from "../../scripts/docs.ts";

/** How many requirements each group has. Two were put in later, behind the one whose number they carry. */
const GROUPS: ReadonlyArray<readonly [prefix: string, last: number]> = [
  ["S0-", 39],
  ["S1-", 26],
  ["S2-", 24],
  ["S3-", 34],
  ["S4-", 15],
  ["E", 44],
  ["B-", 20],
];
const LETTERED = new Set(["S3-24", "S4-13"]);

const IDS = GROUPS.flatMap(([prefix, last]) =>
  Array.from({ length: last }, (_, index) => {
    const number = String(index + 1);
    const id = `${prefix}${prefix === "E" ? number : number.padStart(2, "0")}`;
    return LETTERED.has(id) ? [id, `${id}b`] : [id];
  }).flat(),
);

const page = readPage("docs/requirements.md");
const rows = page
  .split("\n")
  .filter((line) => /^\| (?:S\d-|E\d|B-)/.test(line))
  .map((line) => {
    const [id = "", , state = ""] = line.slice(2).split(" | ");
    return { id, state, shown: line };
  });

test("docs/requirements.md has every id exactly once, in order", () => {
  expect(rows.map(({ id }) => id)).toEqual(IDS);
});

test("docs/requirements.md says a known state of each, and where it is shown or what is missing", () => {
  for (const { id, state, shown } of rows) {
    expect(["done", "partial", "planned", "will not"], id).toContain(state);
    const evidence = shown
      .slice(shown.indexOf(` | ${state} |`) + state.length + 5)
      .replace(/\|$/, "")
      .trim();
    if (state !== "planned") expect(evidence.length, id).toBeGreaterThan(8);
    if (state === "done") expect(evidence, id).toMatch(/`/);
  }
});

test("docs/requirements.md names files that exist", () => {
  const files = [...page.matchAll(/`((?:src|client|test|docs|bench|examples|scripts)\/[^`\s]+|[A-Z]+\.md)`/g)];
  for (const [, path = ""] of files) expect(existsSync(resolve(ROOT, path)), path).toBe(true);
});
