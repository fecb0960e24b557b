import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

interface Entry {
  version?: string;
  integrity?: string;
  resolved?: string;
  link?: boolean;
  optionalDependencies?: Record<string, string>;
}

const packages = (
  JSON.parse(readFileSync(new URL("../package-lock.json", import.meta.url), "utf8")) as {
    packages: Record<string, Entry>;
  }
).packages;

// On 2026-11-20 `npm ci` failed in every fresh clone while it worked in the folder where the lockfile was made: the registry
// lacked platform packages of two tools, `npm install` left them out, and `npm ci` takes that for a lockfile out of step.
it("the lockfile has every platform package that its packages name, or `npm ci` refuses the whole tree", () => {
  const missing = Object.entries(packages).flatMap(([at, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).filter(
      (name) =>
        packages[`${at}/node_modules/${name}`]?.version === undefined &&
        packages[`node_modules/${name}`]?.version === undefined,
    ),
  );
  expect(missing).toEqual([]);
});

it("the lockfile names no place to download from, and an integrity for all that is downloaded", () => {
  for (const [at, entry] of Object.entries(packages)) {
    if (entry.link === true) expect(entry.resolved, at).toBe("toolchain");
    else expect(entry.resolved, at).toBeUndefined();
    if (at.includes("node_modules/") && entry.link !== true) expect(entry.integrity, at).toMatch(/^sha512-/);
  }
});
