import fc from "fast-check";
import { expect, test } from "vitest";
import { removalEdits, splice } from "./byte-splice.ts";
import { scanBody } from "./json-scan.ts";

test("splice() returns the same buffer when nothing changes", () => {
  const bytes = Buffer.from("abc");
  expect(splice(bytes, [])).toBe(bytes);
});

test("splice() replaces, inserts and deletes in one go, in any order", () => {
  const edits = [
    { start: 4, end: 6, text: "é€" },
    { start: 0, end: 1, text: "" },
    { start: 2, end: 2, text: "<" },
    { start: 2, end: 2, text: ">" },
  ];
  expect(splice(Buffer.from("abcdefg"), edits).toString()).toBe("b<>cdé€g");
});

test("splice() refuses edits that overlap or leave the bytes", () => {
  const bytes = Buffer.from("abcdef");
  expect(() =>
    splice(bytes, [
      { start: 0, end: 3, text: "" },
      { start: 2, end: 4, text: "" },
    ]),
  ).toThrow(RangeError);
  expect(() => splice(bytes, [{ start: 5, end: 7, text: "" }])).toThrow(RangeError);
  expect(() => splice(bytes, [{ start: 3, end: 2, text: "" }])).toThrow(RangeError);
});

test("removalEdits() leaves a valid object with the kept members' own bytes, whichever go", () => {
  const names = ["a", "b", "c", "d", "e"];
  fc.assert(
    fc.property(
      fc.array(fc.boolean(), { minLength: 0, maxLength: 5 }),
      fc.constantFrom("", " ", "\n  "),
      (gone, space) => {
        const text = `${space}{${space}${gone.map((_, at) => `"${names[at]}"${space}:${space}[${at}]`).join(`${space},${space}`)}${space}}`;
        const bytes = Buffer.from(text);
        const { members } = scanBody(bytes);
        const out = splice(
          bytes,
          removalEdits(members, ({ name }) => gone[names.indexOf(name)] === true),
        );
        const expected = Object.fromEntries(gone.flatMap((isGone, at) => (isGone ? [] : [[names[at], [at]]])));
        expect(JSON.parse(out.toString())).toEqual(expected);
        expect(scanBody(out).members.map(({ name }) => name)).toEqual(Object.keys(expected));
      },
    ),
  );
});
