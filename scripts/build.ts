import { spawnSync } from "node:child_process";
import { cp, rm } from "node:fs/promises";
import { resolve } from "node:path";
import { bundle, bundleAgent } from "./bundle-agent.ts";

/** Makes what `npm pack` ships: compiled modules, the files they read, and the agent as one file. */
const root = resolve(import.meta.dirname, "..");

await rm(resolve(root, "dist"), { recursive: true, force: true });
const compiled = spawnSync("tsc", ["-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
  shell: process.platform === "win32",
});
if (compiled.status !== 0) throw new Error("tsc failed");
await cp(resolve(root, "src/engines/embedded/package"), resolve(root, "dist/engines/embedded/package"), {
  recursive: true,
});
// The store's thread in one file: it opens in half the time and takes 15 MB less than with Kysely's 279 modules.
await bundle(resolve(root, "dist/storage/sqlite/worker.js"), resolve(root, "dist/storage/sqlite/worker.js"));
await bundleAgent(resolve(root, "dist/agent.mjs"));
