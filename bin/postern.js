#!/usr/bin/env node
// Plain JavaScript without newer syntax on purpose: an old Node must be able to read this file far enough to say what to do.

const FLOORS = [
  [24, 18, 1],
  [26, 5, 1],
];

function isSupported(version) {
  const [major, minor, patch] = version.split(".").map(Number);
  if (major > 26) return true;
  return FLOORS.some((floor) => major === floor[0] && (minor > floor[1] || (minor === floor[1] && patch >= floor[2])));
}

if (!isSupported(process.versions.node)) {
  process.stderr.write(
    `postern: Node.js ${process.versions.node} is too old (security fixes and node:sqlite are missing).\n` +
      "Next step: install Node.js 26.5.1 or newer (or 24.18.1 or newer in the 24 line). In this repository, run it through npm: `npm start` or `npm exec postern`.\n",
  );
  process.exit(1);
}

// What serves for long gets a young generation between two bounds: V8's own begins with 1 MB, of which the requests that are under way
// fill much, and its bound of 48 MB fills up while a thousand streams open, for no gain
// (docs/decisions/2026-11-30-a-small-young-generation.md). V8 takes these flags only at its start, so the process replaces
// itself, with the same id and the same open files. Children of `postern up` take the flags over.
const HEAP_FLAGS = ["--min-semi-space-size=4", "--max-semi-space-size=8"];
const flags = [...process.execArgv, process.env.NODE_OPTIONS || ""].join(" ");
const isService = ["up", "gateway", "agent"].includes(process.argv[2]);
if (isService && process.execve && process.platform !== "win32" && !process.channel && !flags.includes("semi-space")) {
  process.execve(process.execPath, [process.execPath, ...HEAP_FLAGS, ...process.execArgv, ...process.argv.slice(1)]);
}

const { existsSync } = await import("node:fs");
const { enableCompileCache } = await import("node:module");
const { homedir } = await import("node:os");
const { join } = await import("node:path");
// Starts in half the time and with a third less memory. In the user's own folder: a cache in the shared temporary folder
// would let somebody else's code in. Without a writable one Node goes on without a cache.
enableCompileCache(join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "postern", "compiled"));
const compiled = new URL("../dist/cli/main.js", import.meta.url);
const source = new URL("../src/cli/main.ts", import.meta.url);
// A checkout always runs from source, so that a forgotten build is never what answers.
const { main } = await import(existsSync(source) ? source.href : compiled.href);
process.exitCode = await main(process.argv.slice(2));
