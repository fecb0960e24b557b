import { refuseOldNode } from "../lib/node-version.ts";

// Entry of the one-file agent that a gateway serves at `/.postern/agent.mjs` (scripts/bundle-agent.ts). The file is also
// what the embedded engine's process runs, because there is no other file beside it: forked without arguments.

const refusal = refuseOldNode(process.versions.node);
if (refusal !== null) {
  process.stderr.write(refusal);
  process.exit(1);
}
if (process.send !== undefined && process.argv.length === 2) await import("../engines/embedded/server.ts");
else {
  const { runAgentProgram } = await import("./agent-program.ts");
  process.exitCode = await runAgentProgram(process.argv.slice(2), new URL(import.meta.url));
}
