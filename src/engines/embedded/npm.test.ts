import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../../lib/clock.ts";
import { findNpm, npmEnvironment, runNpm } from "./npm.ts";

let folder: string;
/** A Node with nothing beside it, as npm's platform packages have it. */
let lonelyNode: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-npm-"));
  lonelyNode = join(folder, "lonely/bin/node");
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function file(path: string, text = ""): Promise<string> {
  const full = join(folder, path);
  await mkdir(join(full, ".."), { recursive: true });
  await writeFile(full, text);
  await chmod(full, 0o755);
  return full;
}

describe("findNpm()", () => {
  test("takes the npm that started us first, then one beside Node, then one on PATH", async () => {
    const started = await file("started/npm-cli.js");
    const beside = await file("node/lib/node_modules/npm/bin/npm-cli.js");
    const onPath = await file("other/lib/node_modules/npm/bin/npm-cli.js");
    const node = await file("node/bin/node");
    await file("other/bin/node");
    const PATH = join(folder, "other/bin");
    expect(findNpm({ PATH, npm_execpath: started }, node)).toEqual({ command: node, args: [started] });
    expect(findNpm({ PATH }, node)).toEqual({ command: node, args: [beside] });
    expect(findNpm({ PATH }, lonelyNode)).toEqual({ command: lonelyNode, args: [onPath] });
  });

  test("ignores a package manager that is not npm, and an npm that is gone", async () => {
    const other = await file("pnpm.cjs");
    expect(findNpm({ npm_execpath: other }, lonelyNode)).toBeNull();
    expect(findNpm({ npm_execpath: join(folder, "npm-cli.js") }, lonelyNode)).toBeNull();
  });

  test.skipIf(process.platform === "win32")("follows the link that package managers put on PATH", async () => {
    const script = await file("share/npm/bin/npm-cli.js");
    await mkdir(join(folder, "bin"));
    await symlink(script, join(folder, "bin/npm"));
    expect(findNpm({ PATH: join(folder, "bin") }, lonelyNode)).toEqual({
      command: lonelyNode,
      args: [script],
    });
  });

  test.skipIf(process.platform === "win32")("runs a version manager's shim as it is", async () => {
    const shim = await file("shims/npm", "#!/bin/sh\n");
    expect(findNpm({ PATH: join(folder, "shims") }, lonelyNode)).toEqual({ command: shim, args: [] });
  });
});

describe("npmEnvironment()", () => {
  test("keeps registry, proxy and cache and drops what an outer npm says of its own project", () => {
    const kept = {
      npm_config_registry: "http://127.0.0.1/",
      HTTPS_PROXY: "http://127.0.0.1:1",
      npm_config_cache: "/c",
      PATH: "/p",
    };
    const dropped = {
      npm_config_prefix: "/x",
      npm_config_workspace: "w",
      npm_package_json: "/y",
      npm_lifecycle_event: "start",
    };
    expect(npmEnvironment({ ...kept, ...dropped })).toEqual(kept);
  });
});

describe("runNpm()", () => {
  const run = {
    environment: process.env,
    signal: undefined,
    timeLimitMs: 60_000,
    clock: systemClock,
    onLine: () => {},
  };

  test("says that a program could not be started", async () => {
    const result = await runNpm({ command: join(folder, "missing"), args: [] }, [], { ...run, cwd: folder });
    expect(result).toMatchObject({ exitCode: null, errorCode: "ENOENT" });
  });

  test("reads lines that arrive in pieces and npm's first error code, and cuts a line that never ends", async () => {
    const script = await file(
      "npm-cli.js",
      `process.stderr.write("one\\ntw"); process.stderr.write("o\\r\\nnpm error code E404\\nnpm error code OTHER\\n" + "x".repeat(100_000)); process.exitCode = 1;`,
    );
    const lines: string[] = [];
    const result = await runNpm({ command: process.execPath, args: [script] }, [], {
      ...run,
      cwd: folder,
      onLine: (line) => lines.push(line),
    });
    expect(result).toEqual({ exitCode: 1, errorCode: "E404", isTimedOut: false, isAborted: false });
    expect(lines.slice(0, 4)).toEqual(["one", "two", "npm error code E404", "npm error code OTHER"]);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(80_000);
  });
});
