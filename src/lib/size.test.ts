import fc from "fast-check";
import { expect, test } from "vitest";
import { formatSize, parseSize } from "./size.ts";

test("parseSize() reads each unit", () => {
  expect(["0B", "512B", "64KiB", "8MiB", "2GiB", "1TiB"].map(parseSize)).toEqual([
    0,
    512,
    65_536,
    8_388_608,
    2 ** 31,
    2 ** 40,
  ]);
});

test("parseSize() refuses what people mistype, decimal units included", () => {
  for (const text of ["", "8", "8MB", "8M", "8mib", "-1B", "1.5MiB", "8 MiB", "999999999999999TiB"]) {
    expect(parseSize(text), JSON.stringify(text)).toBeNull();
  }
});

test("formatSize() is read back exactly", () => {
  fc.assert(fc.property(fc.integer({ min: 0, max: 1e15 - 1 }), (bytes) => parseSize(formatSize(bytes)) === bytes));
});

test("parseSize() never throws and gives a safe non-negative integer or null", () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\d{1,16}(B|KiB|MiB|GiB|TiB)$/)), (text) => {
      const value = parseSize(text);
      return value === null || (Number.isSafeInteger(value) && value >= 0);
    }),
  );
});
