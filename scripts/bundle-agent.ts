import { rename, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { rolldown } from "rolldown";
import { SMALL_INPUT, SMALL_OUTPUT } from "./small-bundle.ts";

const ENTRY = resolve(import.meta.dirname, "../src/cli/agent-bundle.ts");

/**
 * Writes the agent as one file that needs nothing but Node: what a gateway serves at `/.postern/agent.mjs`. Under another name first:
 * a reader never sees half of it.
 */
export async function bundleAgent(outFile: string): Promise<void> {
  const build = await rolldown({ ...SMALL_INPUT, input: ENTRY });
  try {
    const { output } = await build.generate({ ...SMALL_OUTPUT, codeSplitting: false });
    const [chunk, ...rest] = output;
    if (rest.length > 0) throw new Error(`the bundle has ${rest.length} more parts than one file can hold`);
    await writeFile(`${outFile}.new`, chunk.code);
    await rename(`${outFile}.new`, outFile);
  } finally {
    await build.close();
  }
}

if (import.meta.main) {
  const outFile = process.argv[2];
  if (outFile === undefined) throw new Error("usage: bundle-agent.ts OUTFILE");
  await bundleAgent(resolve(outFile));
}
