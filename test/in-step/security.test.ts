import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { ROOT, readPage } from "../../scripts/docs.ts";

const PAGE = "docs/reference/security.md";

/** Cells of each row of the page's tables. */
const rows = readPage(PAGE)
  .split("\n")
  .filter((line) => line.startsWith("| ") && !line.startsWith("| What happened"))
  .map((line) => line.slice(2, -2).split(" | "));

test("docs/reference/security.md names for each attack a test, or says that there is none yet or no such part here", () => {
  expect(rows.length).toBeGreaterThan(40);
  for (const [what = "", does = "", ...shown] of rows) {
    expect(does.length, what).toBeGreaterThan(10);
    expect(shown.join(" | "), what).toMatch(/`(?:src|test)\/[^`]+\.test\.ts` "[^"]+"|none yet/);
  }
});

test("docs/reference/security.md names tests that exist, by words of their titles", () => {
  const named = rows.flatMap((row) => [
    ...row.join(" | ").matchAll(/`((?:src|test)\/[^`]+\.test\.ts)`(?: "([^"]+)")?/g),
  ]);
  expect(named.length).toBeGreaterThan(60);
  for (const [, file = "", title] of named) {
    expect(existsSync(resolve(ROOT, file)), file).toBe(true);
    expect(title, `a title behind ${file}`).toBeDefined();
    expect(readFileSync(resolve(ROOT, file), "utf8"), file).toContain(title ?? "");
  }
});
