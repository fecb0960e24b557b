import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PosternError } from "../../errors.ts";
import { ManualClock } from "../../lib/clock.ts";
import { SHARED_ENGINE_FOLDER, sharedEngine } from "./__fixtures__/shared-engine.ts";
import { ENGINE_VERSION, type InstallOptions, installEngine } from "./install.ts";
import manifest from "./package/package.json" with { type: "json" };
import lockfile from "./package/package-lock.json" with { type: "json" };
import { PLATFORM_PACKAGES, platformPackage } from "./platform-packages.ts";
import type { EngineProgress } from "./progress.ts";

let scratch: string;
let folder: string;
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "postern-install-"));
  folder = join(scratch, "engine");
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

/**
 * A stand-in for npm: a script that does what `body` says in the folder it is run in. Unlike npm it downloads nothing; `tree()`
 * writes the few files that an install is recognised by.
 */
async function fakeNpm(body: string): Promise<NodeJS.ProcessEnv> {
  const path = join(scratch, "npm-cli.js");
  const tree = `const { mkdirSync, writeFileSync } = require("node:fs");
function tree() {
  for (const [name, file] of [["node-llama-cpp", "dist/index.js"], [${JSON.stringify(platformPackage()?.name)}, "bins/x/llama-addon.node"]]) {
    const at = "node_modules/" + name + "/";
    mkdirSync(at + file.replace(/[^/]*$/, ""), { recursive: true });
    writeFileSync(at + file, "");
    writeFileSync(at + "package.json", JSON.stringify({ name, version: ${JSON.stringify(ENGINE_VERSION)} }));
  }
}`;
  await writeFile(path, `${tree}\n${body}`);
  return { PATH: process.env["PATH"], npm_execpath: path };
}

async function failure(options: Partial<InstallOptions>): Promise<PosternError> {
  const error: unknown = await installEngine({ folder, ...options }).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "engine_install" });
  return error as PosternError;
}

async function leftovers(): Promise<string[]> {
  return existsSync(folder) ? await readdir(folder) : [];
}

describe("the package that is installed", () => {
  test("is locked with integrity, without addresses, install scripts, optional or platform packages", () => {
    const entries = Object.entries(lockfile.packages).filter(([path]) => path !== "");
    expect(entries.length).toBeGreaterThan(50);
    for (const [path, entry] of entries) {
      expect(Object.keys(entry), path).not.toEqual(expect.arrayContaining(["resolved"]));
      expect("hasInstallScript" in entry || "optional" in entry || "optionalDependencies" in entry, path).toBe(false);
      expect("integrity" in entry && entry.integrity, path).toMatch(/^sha512-/);
      expect(path).not.toContain("@node-llama-cpp/");
    }
    expect(lockfile.packages["node_modules/node-llama-cpp"].version).toBe(manifest.dependencies["node-llama-cpp"]);
    expect(lockfile.packages[""].dependencies).toEqual(manifest.dependencies);
  });

  test("has one binary package per platform, with an integrity of its own", () => {
    const packages = Object.values(PLATFORM_PACKAGES);
    expect(new Set(packages.map((one) => one.integrity)).size).toBe(packages.length);
    for (const one of packages) expect(one.integrity).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
  });
});

describe("installEngine() without a network", () => {
  test("says in one line that npm is missing and what to do", async () => {
    const error = await failure({ environment: { PATH: scratch }, nodePath: join(scratch, "bin", "node") });
    expect(error.message).toBe("The embedded engine could not be installed: npm was not found");
    expect(error.hint).toContain("Install npm");
    expect(await leftovers()).toEqual([]);
  });

  test("says that there is no binary for a platform that is not in the table", async () => {
    const error = await failure({ platform: undefined });
    expect(error.message).toContain("no llama.cpp binary for this platform");
  });

  test("says that the registry cannot be reached, with the real npm, and leaves nothing behind", async () => {
    const environment = {
      ...process.env,
      npm_config_registry: "http://127.0.0.1:1/",
      npm_config_cache: join(scratch, "cache"),
      npm_config_fetch_retries: "0",
    };
    const error = await failure({ environment });
    expect(error.message).toContain("registry could not be reached");
    expect(error.hint).toContain("network");
    expect(await leftovers()).toEqual([]);
  });

  test.each([
    ["EINTEGRITY", "checksum differs"],
    ["E404", "does not have a package"],
    ["ENOSPC", "disk is full"],
    ["EWHATEVER", "npm failed with EWHATEVER"],
  ])("turns npm's %s into plain words", async (code, words) => {
    const environment = await fakeNpm(`console.error("npm error code ${code}"); tree(); process.exit(1);`);
    expect((await failure({ environment })).message).toContain(words);
    expect(await leftovers()).toEqual([]);
  });

  test("does not trust an npm that reports success without files", async () => {
    const environment = await fakeNpm("process.exit(0);");
    expect((await failure({ environment })).message).toContain("files are missing");
    expect(await leftovers()).toEqual([]);
  });

  test("kills npm on abort and leaves nothing behind", async () => {
    const environment = await fakeNpm(
      `console.error("npm http fetch GET 200 x.tgz 1ms"); setInterval(() => {}, 1000);`,
    );
    const abort = new AbortController();
    const started = installEngine({
      folder,
      environment,
      signal: abort.signal,
      onProgress: (progress) => {
        if (progress.done === 1) abort.abort();
      },
    });
    await expect(started).rejects.toMatchObject({
      code: "engine_install",
      message: expect.stringContaining("cancelled"),
    });
    expect(await leftovers()).toEqual([]);
  });

  test("gives up when npm does not finish in time", async () => {
    const environment = await fakeNpm(
      `console.error("npm http fetch GET 200 x.tgz 1ms"); setInterval(() => {}, 1000);`,
    );
    const clock = new ManualClock();
    const error = await failure({
      environment,
      clock,
      timeLimitMs: 60_000,
      onProgress: (progress) => {
        if (progress.done === 1) clock.advance(60_000);
      },
    });
    expect(error.message).toContain("did not finish in time");
    expect(await leftovers()).toEqual([]);
  });

  test("runs npm without scripts and optional packages, without the settings of an outer npm", async () => {
    const out = join(scratch, "seen.json");
    const environment = {
      ...(await fakeNpm(
        `tree(); writeFileSync(${JSON.stringify(out)}, JSON.stringify({ args: process.argv.slice(2), env: process.env, lock: JSON.parse(require("node:fs").readFileSync("package-lock.json", "utf8")) }));`,
      )),
      npm_config_global: "true",
      npm_config_prefix: "/nowhere",
      npm_config_registry: "http://127.0.0.1:1/",
      npm_package_name: "outer",
    };
    await installEngine({ folder, environment });
    const seen = JSON.parse(await readFile(out, "utf8"));
    expect(seen.args).toEqual(expect.arrayContaining(["ci", "--ignore-scripts", "--omit=optional", "--omit=dev"]));
    expect(seen.env.npm_config_registry).toBe("http://127.0.0.1:1/");
    expect(Object.keys(seen.env).filter((name) => /^npm_(package|config_(global|prefix))/.test(name))).toEqual([]);
    const added = Object.keys(seen.lock.packages).filter((path) => path.includes("@node-llama-cpp/"));
    expect(added).toEqual([`node_modules/${platformPackage()?.name}`]);
  });

  test("installs once when two ask at the same time, and not again afterwards", async () => {
    const environment = await fakeNpm("tree();");
    const [one, two] = await Promise.all([
      installEngine({ folder, environment }),
      installEngine({ folder, environment }),
    ]);
    expect(one).toBe(two);
    expect(await readdir(folder)).toHaveLength(1);
    // Without npm: what is there is used.
    expect(await installEngine({ folder, environment: { PATH: scratch } })).toBe(one);
  });

  test("replaces a damaged install", async () => {
    const environment = await fakeNpm("tree();");
    const installed = await installEngine({ folder, environment });
    await rm(join(installed, "node_modules/node-llama-cpp/dist"), { recursive: true });
    await installEngine({ folder, environment });
    expect(existsSync(join(installed, "node_modules/node-llama-cpp/dist/index.js"))).toBe(true);
    expect(await readdir(folder)).toHaveLength(1);
  });

  test("clears away what a killed install left, but not what another process is installing", async () => {
    const dead = spawnSync(process.execPath, ["-e", ""]).pid;
    await mkdir(join(folder, `.installing-${dead}-00`), { recursive: true });
    await mkdir(join(folder, `.installing-${process.ppid}-00`));
    await installEngine({ folder, environment: await fakeNpm("tree();") });
    const names = await readdir(folder);
    expect(names).not.toContain(`.installing-${dead}-00`);
    expect(names).toContain(`.installing-${process.ppid}-00`);
  });
});

const real = await sharedEngine();
describe.skipIf(real === null)("installEngine() from the registry", () => {
  test("put the real engine in place, without the sources that are never built", async () => {
    expect(real).toContain(SHARED_ENGINE_FOLDER);
    expect(existsSync(join(real ?? "", "node_modules/node-llama-cpp/dist/index.js"))).toBe(true);
    expect(existsSync(join(real ?? "", "node_modules/node-llama-cpp/llama/gitRelease.bundle"))).toBe(false);
  });

  test("refuses a platform package whose checksum is not the pinned one, and leaves nothing behind", async () => {
    const platform = platformPackage();
    if (platform === undefined) throw new Error("the shared engine exists, so the platform must");
    const progress: EngineProgress[] = [];
    const error = await failure({
      platform: { ...platform, integrity: `sha512-${"A".repeat(86)}==` },
      onProgress: (one) => progress.push(one),
    });
    expect(error.message).toContain("checksum differs");
    expect(progress.map((one) => one.phase)).toEqual(expect.arrayContaining(["prepare", "download"]));
    expect(await leftovers()).toEqual([]);
  }, 120_000);
});
