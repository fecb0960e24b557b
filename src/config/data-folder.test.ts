import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkoutFolder, defaultDataFolder, prepareDataFolder } from "./data-folder.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-data-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("defaultDataFolder() is ./data in a checkout and the platform's folder when installed", () => {
  const place = { env: {}, home: "/home/ada" } as const;
  expect(defaultDataFolder("/src/postern")).toBe("/src/postern/data");
  expect(defaultDataFolder(null, { ...place, platform: "linux" })).toBe("/home/ada/.local/share/postern");
  expect(defaultDataFolder(null, { ...place, platform: "linux", env: { XDG_DATA_HOME: "/d" } })).toBe("/d/postern");
  expect(defaultDataFolder(null, { ...place, platform: "darwin" })).toBe(
    "/home/ada/Library/Application Support/postern",
  );
  expect(checkoutFolder("file:///opt/node_modules/postern/dist/config/data-folder.js")).toBeNull();
});

test.skipIf(process.platform === "win32")(
  "prepareDataFolder() makes the folder private and tightens one that is not",
  () => {
    const data = join(folder, "a", "b");
    prepareDataFolder(data);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    const open = join(folder, "open");
    mkdirSync(open, { mode: 0o755 });
    prepareDataFolder(open);
    expect(statSync(open).mode & 0o777).toBe(0o700);
  },
);

test("prepareDataFolder() says in plain words why a folder cannot be used", () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  expect(() => prepareDataFolder(file)).toThrow(/Cannot use the data folder .*file, not a folder/);
  expect(() => prepareDataFolder(join(file, "below"))).toThrow(/a part of the path is a file/);
});
