import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RotatingLog } from "./rotating-log.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-log-"));
  path = join(folder, "engine.log");
});
afterEach(() => rmSync(folder, { recursive: true }));

describe("RotatingLog", () => {
  test("keeps the newest text in two files of bounded size, for its owner only", () => {
    const log = new RotatingLog(path, 10);
    for (const text of ["one 1\n", "two\n", "three\n", "four\n"]) log.write(Buffer.from(text));
    log.close();
    expect(readFileSync(path, "utf8")).toBe("four\n");
    expect(readFileSync(`${path}.1`, "utf8")).toBe("three\n");
    if (process.platform !== "win32") expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test("goes on with the file that is there", () => {
    for (const text of ["a\n", "b\n"]) {
      const log = new RotatingLog(path, 100);
      log.write(Buffer.from(text));
      log.close();
    }
    expect(readFileSync(path, "utf8")).toBe("a\nb\n");
  });

  test("cuts what is larger than itself, and survives a place that cannot be written", () => {
    const log = new RotatingLog(path, 4);
    log.write(Buffer.from("0123456789"));
    log.close();
    expect(readFileSync(path, "utf8")).toBe("6789");
    mkdirSync(join(folder, "taken"));
    expect(() => new RotatingLog(join(folder, "taken")).write(Buffer.from("x"))).not.toThrow();
  });
});
