import { spawnSync } from "node:child_process";

/** Every check except the tests, in the order of how fast they fail. `npm run check` is what CI runs. */
const CHECKS: ReadonlyArray<readonly [string, readonly string[]]> = [
  ["boundaries", ["node", "scripts/check-boundaries.ts"]],
  ["types", ["tsc", "-p", "."]],
  ["lint", ["biome", "ci", "--colors=off", "--error-on-warnings", "."]],
  ["unused", ["knip"]],
];

let failed = 0;
for (const [name, [command, ...args]] of CHECKS) {
  const startedAt = performance.now();
  const { status } = spawnSync(command ?? "", args, { stdio: "inherit", shell: process.platform === "win32" });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${status === 0 ? "ok    " : "FAILED"} ${name} (${seconds} s)`);
  if (status !== 0) failed += 1;
}
process.exitCode = failed === 0 ? 0 : 1;
