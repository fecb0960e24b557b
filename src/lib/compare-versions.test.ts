import { describe, expect, test } from "vitest";
import { compareVersions, isAtLeast, isVersion } from "./compare-versions.ts";

describe("compareVersions()", () => {
  test.each([
    ["0.13.3", "0.13.10"],
    ["0.9", "0.10.0"],
    ["0.33.0-rc2", "0.33.0"],
    ["0.9.0.dev37+g1a2b", "0.9.0"],
    ["0.8.5", "0.8.5.post1"],
    ["0.8.5.post1", "0.8.6"],
    ["b7199-abcdef0", "b7200-1234567"],
    ["v1.2", "1.2.1"],
  ])("puts %s before %s", (earlier, later) => {
    expect(compareVersions(earlier, later)).toBeLessThan(0);
    expect(compareVersions(later, earlier)).toBeGreaterThan(0);
  });

  test.each([
    ["1.2", "v1.2.0"],
    ["b11549-00dc8057", "b11549"],
    ["b7200-b1c2d3e", "b7200-a1b2c3d"],
    ["0.9.1+cu124", "0.9.1"],
  ])("takes %s and %s for equal", (left, right) => {
    expect(compareVersions(left, right)).toBe(0);
  });

  test.each(["", "unknown", "0.0.0", "b0-unknown", "x1.2", "1".repeat(65)])("knows no version in %j", (text) => {
    expect(isVersion(text)).toBe(false);
    expect(compareVersions(text, "1.0")).toBeNull();
    expect(compareVersions("1.0", text)).toBeNull();
    expect(isAtLeast(text, "0.0.1")).toBe(false);
  });
});

test("isAtLeast() takes the bound itself, and says no where nothing is known", () => {
  expect(isAtLeast("0.14.0", "0.14.0")).toBe(true);
  expect(isAtLeast("0.13.9", "0.14.0")).toBe(false);
  expect(isAtLeast(null, "0.14.0")).toBe(false);
});
