import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { freePort, run, start } from "../children.ts";
import type { Peer } from "../peer.ts";
import { CACHE } from "../programs.ts";

const VERSION = "1.15.2";
/** As its own lockfile has them: with newer ones every streamed request is answered 500. */
const OVERRIDES = { hono: "4.9.7", "@hono/node-server": "1.13.5" };
const READY_MS = 15_000;

/** Portkey's gateway, the other gateway in Node, from npm (installed on first use into bench/.cache). */
export const portkey: Peer = {
  name: "portkey",
  describe: `Portkey gateway ${VERSION} (hono ${OVERRIDES.hono}, @hono/node-server ${OVERRIDES["@hono/node-server"]}), headless`,
  isTls: false,
  hasMemory: true,
  async start({ enginePort }) {
    const program = await install();
    const port = await freePort();
    const child = start("portkey", process.execPath, [program, "--headless", `--port=${port}`], {
      env: { NODE_ENV: "production" },
    });
    await untilReady(port, () => child.errors());
    return {
      port,
      isTls: false,
      headers: [
        "Authorization: Bearer unused",
        "x-portkey-provider: openai",
        `x-portkey-custom-host: http://127.0.0.1:${enginePort}/v1`,
      ],
      processes: [{ role: "gateway", pid: child.pid }],
      version: VERSION,
      stop: () => child.stop(),
    };
  },
};

async function install(): Promise<string> {
  const folder = join(CACHE, "portkey");
  const program = join(folder, "node_modules/@portkey-ai/gateway/build/start-server.js");
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const manifest = { private: true, dependencies: { "@portkey-ai/gateway": VERSION }, overrides: OVERRIDES };
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest));
  await run("npm install of Portkey", "npm", ["install", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: folder,
  });
  return program;
}

async function untilReady(port: number, errors: () => string): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    try {
      await (await fetch(`http://127.0.0.1:${port}/`)).text();
      return;
    } catch {
      if (Date.now() > deadline) throw new Error(`Portkey does not answer: ${errors().trim()}`);
      await new Promise((wait) => setTimeout(wait, 100));
    }
  }
}
