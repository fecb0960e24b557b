import { rm } from "node:fs/promises";
import { resolve } from "node:path";
import { bundleAgent } from "./bundle-agent.ts";
import { bundleProgram, writeNotices } from "./bundle-program.ts";

/** Makes what `npm pack` ships: the program, the agent as one file, and the licences of what is in them. */
const root = resolve(import.meta.dirname, "..");

await rm(resolve(root, "dist"), { recursive: true, force: true });
const modules = await bundleProgram(root, root);
await bundleAgent(resolve(root, "dist/agent.mjs"));
await writeNotices(modules, resolve(root, "dist/third-party-licences.txt"));
