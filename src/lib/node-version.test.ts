import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { NODE_FLOORS, refuseOldNode } from "./node-version.ts";

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

test("refuseOldNode() keeps the floors of both lines", () => {
  for (const version of ["24.18.1", "24.19.0", "26.5.1", "26.10.0", "27.0.0"])
    expect(refuseOldNode(version), version).toBeNull();
  for (const version of ["20.20.2", "22.22.0", "24.18.0", "25.9.0", "26.5.0"])
    expect(refuseOldNode(version), version).toMatch(/too old/);
});

test("the floors are those of package.json and of the launcher", () => {
  const [low, high] = NODE_FLOORS.map((floor) => floor.join("."));
  expect(JSON.parse(read("package.json")).engines.node).toBe(`>=${low} <25 || >=${high}`);
  for (const floor of NODE_FLOORS) expect(read("bin/postern.js")).toContain(`[${floor.join(", ")}]`);
});
