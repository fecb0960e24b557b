import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { StopScanner } from "./stop-scanner.ts";

function scan(pieces: readonly string[], stops: readonly string[]): { text: string; isStopped: boolean } {
  const scanner = new StopScanner(stops);
  let text = "";
  for (const piece of pieces) {
    const found = scanner.push(piece);
    text += found.text;
    if (found.isStopped) return { text, isStopped: true };
  }
  return { text: text + scanner.flush(), isStopped: false };
}

describe("StopScanner", () => {
  test("finds a stop string that is spread over several pieces and passes on nothing of it", () => {
    expect(scan(["Hello, wo", "r", "ld and more"], ["world"])).toEqual({ text: "Hello, ", isStopped: true });
  });

  test("passes text on at once when it cannot become a stop string", () => {
    const scanner = new StopScanner(["\n\n"]);
    expect(scanner.push("one line\n").text).toBe("one line");
    expect(scanner.push("next").text).toBe("\nnext");
  });

  test("lets the earliest stop string win, whatever their order", () => {
    expect(scan(["abcdef"], ["ef", "cd"])).toEqual({ text: "ab", isStopped: true });
  });

  test("gives the same answer however the text is cut, and holds back less than the longest stop string", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 30 });
    const stop = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(fc.array(letters, { maxLength: 8 }), fc.array(stop, { maxLength: 3 }), (pieces, stops) => {
        const whole = pieces.join("");
        const ends = stops.map((one) => whole.indexOf(one)).filter((at) => at !== -1);
        const expected = ends.length === 0 ? whole : whole.slice(0, Math.min(...ends));
        const found = scan(pieces, stops);
        // When a longer stop string begins earlier but is only complete later, the shorter one inside it has already won.
        expect(whole.startsWith(found.text)).toBe(true);
        expect(found.isStopped).toBe(ends.length > 0);
        expect(found.text.length).toBeGreaterThanOrEqual(expected.length);
        const scanner = new StopScanner(stops);
        let passed = 0;
        let given = 0;
        for (const piece of pieces) {
          const { text, isStopped } = scanner.push(piece);
          if (isStopped) return;
          passed += text.length;
          given += piece.length;
          expect(given - passed).toBeLessThan(Math.max(1, ...stops.map((one) => one.length)));
        }
      }),
    );
  });
});
