import { randomBytes } from "node:crypto";
import { access, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { PosternError } from "../../errors.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { findNpm, type NpmResult, npmEnvironment, runNpm } from "./npm.ts";
import manifest from "./package/package.json" with { type: "json" };
import lockfile from "./package/package-lock.json" with { type: "json" };
import { currentPlatform, type PlatformPackage, PROVEN_PLATFORMS, platformPackage } from "./platform-packages.ts";
import { type OnEngineProgress, step } from "./progress.ts";

export interface InstallOptions {
  /** Folder that holds the installs, one per version and platform: `DATA/engine`. Made when missing. */
  folder: string;
  onProgress?: OnEngineProgress;
  /** Stops npm and removes what it had fetched into the data folder. */
  signal?: AbortSignal;
  /** Longest that npm may take. Default 10 minutes: about 30 MB come over the wire. */
  timeLimitMs?: number;
  /** For tests: the environment in which npm is looked for and run. */
  environment?: NodeJS.ProcessEnv;
  /** For tests: path of the running Node, beside which npm is looked for. */
  nodePath?: string;
  /** For tests: another package for this platform, or undefined for none. */
  platform?: PlatformPackage | undefined;
  clock?: Clock;
}

const DEFAULT_TIME_LIMIT_MS = 600_000;
const ENGINE_PACKAGE = "node-llama-cpp";
/** Version of node-llama-cpp that is installed, and part of the folder's name. */
export const ENGINE_VERSION: string = manifest.dependencies[ENGINE_PACKAGE];

/** Sources for building llama.cpp, which we never do: more than a third of the install. */
const UNUSED_FILES = ["llama/gitRelease.bundle"];
const UNFINISHED = /^\.installing-(\d+)-[0-9a-f]+$/;
/** npm codes that mean that the registry could not be reached, as opposed to what it answered. */
const OFFLINE_CODES = new Set(
  "ENOTFOUND EAI_AGAIN ECONNREFUSED ECONNRESET ETIMEDOUT ENETUNREACH EHOSTUNREACH EPROTO ENOTCACHED ERR_SOCKET_TIMEOUT FETCH_ERROR".split(
    " ",
  ),
);

/**
 * Makes sure that the embedded engine is installed and returns its folder.
 *
 * Installs node-llama-cpp and this platform's binary from a lockfile of ours with integrity, without install scripts, into a
 * folder beside the final one, and renames it into place when it is complete: what exists under the final name is whole. Two
 * processes may install at the same time; the first to finish wins and the other uses its result.
 *
 * @throws PosternError `engine_install` with one line and the next step: no npm, no registry, wrong integrity, unknown platform,
 * no disk space, time limit, abort. Nothing half-installed remains.
 */
export async function installEngine(options: InstallOptions): Promise<string> {
  const target = join(options.folder, `${ENGINE_PACKAGE}-${ENGINE_VERSION}-${currentPlatform()}`);
  const platform = "platform" in options ? options.platform : platformPackage();
  if (platform === undefined) throw noBinary();
  if (await isComplete(target, platform)) return target;
  refuseMusl();
  const note = PROVEN_PLATFORMS.includes(currentPlatform()) ? "" : " (not tested on this platform yet)";
  options.onProgress?.(step("prepare", `Preparing to install the embedded engine${note}`));
  const npm = findNpm(options.environment ?? process.env, options.nodePath ?? process.execPath);
  if (npm === null) {
    throw failure(
      "npm was not found",
      "Install npm (it comes with Node.js), or start an inference server of your own.",
    );
  }
  const temporary = join(options.folder, `.installing-${process.pid}-${randomBytes(6).toString("hex")}`);
  try {
    await mkdir(options.folder, { recursive: true, mode: 0o700 });
    await removeUnfinished(options.folder);
    await mkdir(temporary, { mode: 0o700 });
    await writeProject(temporary, platform);
    const result = await runNpm(npm, npmArguments(temporary), {
      cwd: temporary,
      environment: npmEnvironment(options.environment ?? process.env),
      signal: options.signal,
      timeLimitMs: options.timeLimitMs ?? DEFAULT_TIME_LIMIT_MS,
      clock: options.clock ?? systemClock,
      onLine: reportDownloads(platform, options.onProgress),
    });
    if (result.exitCode !== 0) throw npmFailure(result);
    options.onProgress?.(step("unpack", "Checking the embedded engine"));
    if (!(await isComplete(temporary, platform))) {
      throw failure("npm reported success, but files are missing", "Try again; if it stays so, report it.");
    }
    for (const file of UNUSED_FILES) await rm(join(temporary, "node_modules", ENGINE_PACKAGE, file), { force: true });
    options.signal?.throwIfAborted();
    await moveIntoPlace(temporary, target, platform);
    return target;
  } catch (error) {
    if (options.signal?.aborted) throw failure("it was cancelled", "Start again when you are ready.");
    throw error instanceof PosternError ? error : fileFailure(error);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** What must be there for an install to be usable. Integrity was checked by npm when it unpacked; this finds what was deleted since. */
async function isComplete(folder: string, platform: PlatformPackage): Promise<boolean> {
  const modules = join(folder, "node_modules");
  try {
    for (const name of [ENGINE_PACKAGE, platform.name]) {
      const parsed: unknown = JSON.parse(await readFile(join(modules, name, "package.json"), "utf8"));
      if (typeof parsed !== "object" || parsed === null || !("version" in parsed)) return false;
      if (parsed.version !== ENGINE_VERSION) return false;
    }
    await access(join(modules, ENGINE_PACKAGE, "dist/index.js"));
    const binaries = await readdir(join(modules, platform.name, "bins"), { recursive: true });
    return binaries.some((name) => name.endsWith("llama-addon.node"));
  } catch {
    return false;
  }
}

async function writeProject(folder: string, platform: PlatformPackage): Promise<void> {
  const dependencies = { ...manifest.dependencies, [platform.name]: ENGINE_VERSION };
  const packages = {
    ...lockfile.packages,
    "": { name: lockfile.name, dependencies },
    [`node_modules/${platform.name}`]: { version: ENGINE_VERSION, integrity: platform.integrity },
  };
  await writeFile(join(folder, "package.json"), JSON.stringify({ ...manifest, dependencies }));
  await writeFile(join(folder, "package-lock.json"), JSON.stringify({ ...lockfile, packages }));
}

function npmArguments(folder: string): string[] {
  return [
    "ci",
    `--prefix=${folder}`,
    "--ignore-scripts",
    "--omit=optional",
    "--omit=dev",
    "--omit=peer",
    "--no-audit",
    "--no-fund",
    "--no-update-notifier",
    "--loglevel=http",
    "--fetch-retries=2",
    "--fetch-retry-mintimeout=500",
    "--fetch-retry-maxtimeout=2000",
  ];
}

function reportDownloads(platform: PlatformPackage, onProgress: OnEngineProgress | undefined): (line: string) => void {
  const total = Object.keys(lockfile.packages).length;
  let done = 0;
  const size = `${Math.round(platform.downloadBytes / 1e6)} MB for this platform`;
  onProgress?.({ phase: "download", message: `Downloading llama.cpp (${size})`, done, total, unit: "packages" });
  return (line) => {
    if (done >= total || !/^npm http (?:fetch GET 200|cache) \S+\.tgz\b/.test(line)) return;
    done += 1;
    onProgress?.({ phase: "download", message: `Downloading llama.cpp (${size})`, done, total, unit: "packages" });
  };
}

async function moveIntoPlace(temporary: string, target: string, platform: PlatformPackage): Promise<void> {
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      return await rename(temporary, target);
    } catch (error) {
      // Somebody else was faster, or the folder there is damaged and has to go.
      if (await isComplete(target, platform)) return;
      if (attempt > 0) throw error;
      await rm(target, { recursive: true, force: true });
    }
  }
}

/** Removes what installs left behind whose process was killed. */
async function removeUnfinished(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = UNFINISHED.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** The binaries are built against glibc; with musl they fail at load with a riddle, so say it before 30 MB are fetched. */
function refuseMusl(): void {
  if (process.platform !== "linux") return;
  const report: unknown = process.report.getReport();
  const header = typeof report === "object" && report !== null && "header" in report ? report.header : null;
  if (typeof header === "object" && header !== null && !("glibcVersionRuntime" in header)) throw noBinary();
}

function npmFailure(result: NpmResult): PosternError {
  const detail = { exitCode: result.exitCode, npmCode: result.errorCode };
  if (result.isAborted) return failure("it was cancelled", "Start again when you are ready.", detail);
  if (result.isTimedOut) {
    return failure(
      "npm did not finish in time",
      "Check the network and start again; what was fetched is kept.",
      detail,
    );
  }
  const code = result.errorCode ?? "";
  if (OFFLINE_CODES.has(code)) {
    return failure(
      "the npm registry could not be reached",
      "Connect to the network (or set npm's `registry` and `proxy`) and start again.",
      detail,
    );
  }
  if (code === "EINTEGRITY") {
    return failure(
      "a package is not what it should be (its checksum differs), so nothing was installed",
      "Run `npm cache verify` and start again; if it stays so, the registry serves altered packages.",
      detail,
    );
  }
  if (code === "E404" || code === "ETARGET") {
    return failure("the npm registry does not have a package that is needed", "Use a complete npm registry.", detail);
  }
  if (code === "ENOSPC") return failure("the disk is full", "Free about 150 MB and start again.", detail);
  return failure(
    code === "" ? "npm failed" : `npm failed with ${code}`,
    "Try again; `npm ping` shows whether npm works on this machine.",
    detail,
  );
}

function fileFailure(cause: unknown): PosternError {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === "ENOSPC") return failure("the disk is full", "Free about 150 MB and start again.", {}, cause);
  return failure("its folder cannot be written", "Make the data folder writable for this user.", {}, cause);
}

function noBinary(): PosternError {
  return failure(
    `there is no llama.cpp binary for this platform (${currentPlatform()})`,
    "Start an inference server of your own, such as Ollama or llama-server, and Postern will find it.",
  );
}

function failure(reason: string, hint: string, detail: Record<string, unknown> = {}, cause?: unknown): PosternError {
  return new PosternError("engine_install", {
    message: `The embedded engine could not be installed: ${reason}`,
    hint,
    detail,
    ...(cause === undefined ? {} : { cause }),
  });
}
