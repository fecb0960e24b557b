import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TextAssembler } from "./text-assembler.ts";

/** A detokenizer whose tokens are bytes, as byte fallback has them. */
function bytesToText(tokens: readonly number[]): string {
  return Buffer.from(tokens).toString("utf8");
}

describe("TextAssembler", () => {
  test("holds a character back until its last byte is there", () => {
    const assembler = new TextAssembler(bytesToText, []);
    const [first = 0, second = 0] = Buffer.from("é");
    expect(assembler.push(first)).toBe("");
    expect(assembler.push(second)).toBe("é");
  });

  test("gives every text back from its bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const assembler = new TextAssembler(bytesToText, []);
        const pieces = [...Buffer.from(text.toWellFormed())].map((byte) => assembler.push(byte));
        expect(pieces.join("") + assembler.flush()).toBe(text.toWellFormed());
      }),
    );
  });

  test("gives up on bytes that never become a character", () => {
    const assembler = new TextAssembler(bytesToText, []);
    const pieces = [0xff, 0xff, 0xff, 0xff].map((byte) => assembler.push(byte));
    expect(pieces.join("")).toBe("\uFFFD".repeat(4));
  });

  test("tells the detokenizer what came before, so that spaces at the seam are right", () => {
    const seen: number[][] = [];
    const assembler = new TextAssembler(
      (tokens, _special, last) => {
        seen.push([...last]);
        return String(tokens);
      },
      [1, 2, 3, 4, 5],
    );
    assembler.push(6);
    assembler.push(7);
    expect(seen).toEqual([
      [2, 3, 4, 5],
      [3, 4, 5, 6],
    ]);
  });
});
