import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { ROOT, readPage } from "../../scripts/docs.ts";

const TRAPS = 19;

const rows = readPage("docs/reference/translation.md")
  .split("\n")
  .filter((line) => /^\| \d+ \|/.test(line))
  .map((line) => {
    const [number = "", , , tests = ""] = line.slice(2).split(" | ");
    return { number: Number(number), tests: [...tests.matchAll(/`([^`]+)` "((?:[^"])+)"/g)] };
  });

test("docs/reference/translation.md has every trap once, in order", () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: TRAPS }, (_, index) => index + 1));
});

test.each(rows)("trap $number of docs/reference/translation.md has the tests that stand there", ({ tests }) => {
  expect(tests.length).toBeGreaterThan(0);
  for (const [, file = "", name = ""] of tests) {
    expect(readFileSync(resolve(ROOT, file), "utf8"), file).toContain(`"${name}"`);
  }
});
