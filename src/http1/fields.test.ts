import { describe, expect, test } from "vitest";
import { readFields } from "./fields.ts";

function readAll(text: string): string[] | undefined {
  const fields: string[] = [];
  return readFields(text, 0, fields) ? fields : undefined;
}

/** What is read of one field's line. */
function field(line: string): string[] | undefined {
  return readAll(`${line}\r\n`);
}

const CONTROLS = Array.from({ length: 32 }, (_, code) => code).concat(0x7f);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

describe("readFields()", () => {
  test("reads from where it is told to the end", () => {
    const fields: string[] = [];
    expect(readFields("xx\r\nA: 1\r\nB:\r\n", 4, fields)).toBe(true);
    expect(fields).toEqual(["a", "1", "b", ""]);
  });

  test("takes nothing for no fields", () => {
    expect(readFields("", 0, [])).toBe(true);
  });

  describe("of names", () => {
    test.each(["X-Mixed-CASE", "Content-Type", "content-type", "CONTENT-TYPE", "X-Api-Key", "Q"])(
      "gives %s in lower case",
      (name) => {
        expect(field(`${name}: Value`)).toEqual([name.toLowerCase(), "Value"]);
      },
    );

    test("takes every character of a token, and no other", () => {
      for (const code of range(0, 0xff)) {
        const char = String.fromCharCode(code);
        const isToken = /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(char);
        // The colon ends a name: what is behind it is a value then.
        const expected = char === ":" ? ["a", "b: v"] : isToken ? [`a${char.toLowerCase()}b`, "v"] : undefined;
        expect(field(`a${char}b: v`), `character ${code}`).toEqual(expected);
      }
    });

    test.each([
      ["empty", ": v"],
      ["followed by a blank", "Name : v"],
      ["followed by a tab", "Name\t: v"],
      ["with a blank before it", " Name: v"],
      ["without a colon", "Name"],
      ["without a colon, with a value", "Name v"],
    ])("refuses one that is %s", (_what, line) => {
      expect(field(line)).toBeUndefined();
      expect(readAll(`Host: a\r\n${line}\r\nX: y\r\n`)).toBeUndefined();
    });
  });

  describe("of values", () => {
    test.each([
      ["nothing", "X:", ""],
      ["only blanks", "X: \t  ", ""],
      ["no blank before it", "X:v", "v"],
      ["blanks and tabs around it", "X:\t  v w\t \t", "v w"],
      ["blanks and tabs within it", "X: a \t b", "a \t b"],
      ["colons", "X: a:b: c", "a:b: c"],
      ["quotes", 'X: "a, b"', '"a, b"'],
      ["upper case", "X: ABC", "ABC"],
    ])("keeps %s, without blanks around", (_what, line, value) => {
      expect(field(line)).toEqual(["x", value]);
    });

    test("takes what is visible, and bytes beyond ASCII as they are", () => {
      const visible = String.fromCharCode(...range(0x21, 0x7e), ...range(0x80, 0xff));
      expect(field(`X: ${visible}`)).toEqual(["x", visible]);
    });

    test("refuses every control character but the tab, at its begin, within it and at its end", () => {
      for (const code of CONTROLS.filter((one) => one !== 0x09)) {
        const char = String.fromCharCode(code);
        for (const value of [`${char}v`, `a${char}b`, `v${char}`])
          expect(field(`X: ${value}`), `code ${code}`).toBeUndefined();
      }
    });
  });

  describe("of lines", () => {
    test.each([
      ["folded with a blank", "X: a\r\n b\r\n"],
      ["folded with a tab", "X: a\r\n\tb\r\n"],
      ["folded to nothing", "X: a\r\n \r\n"],
      ["ended by an LF alone", "X: a\nY: b\r\n"],
      ["ended by a CR alone", "X: a\rY: b\r\n"],
      ["ended by LF LF", "X: a\n\nY: b\r\n"],
      ["ended by a NUL and LF", "X: a\0\nY: b\r\n"],
      ["ended by LF CR", "X: a\n\rY: b\r\n"],
      ["ended by CR CR LF", "X: a\r\r\nY: b\r\n"],
      ["not ended", "X: a"],
      ["not ended but for a CR", "X: a\r"],
      ["empty, with fields behind it", "X: a\r\n\r\nY: b\r\n"],
    ])("refuses one that is %s", (_what, lines) => {
      expect(readAll(lines)).toBeUndefined();
    });
  });
});
