import { expect, test } from "vitest";
import { GENERATED_PAGES, listErrorRows, readPage } from "../../scripts/docs.ts";
import { ERRORS, RETIRED_CODES } from "../../src/errors.ts";

test.each([...GENERATED_PAGES])("%s says what the code says (else run `node scripts/docs.ts`)", (path, write) => {
  const page = readPage(path);
  expect(page).toBe(write(page));
});

test("docs/reference/errors.md has one row for each code, with what to do about it", () => {
  const page = readPage("docs/reference/errors.md");
  const rows = listErrorRows(page);
  expect(rows.map(({ code }) => code).sort()).toEqual(Object.keys(ERRORS).sort());
  for (const { code, meaning } of rows) expect(meaning.length, code).toBeGreaterThan(20);
  const retired = page.slice(page.indexOf("## Retired codes"));
  for (const code of RETIRED_CODES) expect(retired).toContain(`\`${code}\``);
});
