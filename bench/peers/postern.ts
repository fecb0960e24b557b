import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { request as askPlain } from "node:http";
import { request as askTls } from "node:https";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { type Child, freePort, start } from "../children.ts";
import type { Ground, Peer, RunningPeer } from "../peer.ts";
import { createKey, postern } from "../postern-cli.ts";

const READY_MS = 30_000;
const POLL_MS = 100;

type Way = "direct" | "tunnel" | "tls-link" | "tunnel-tls" | "before";

const WORDS: Record<Way, string> = {
  direct: "Postern's gateway with the engine's URL, plain to the caller",
  tunnel: "Postern's gateway and agent, plain link on loopback, plain to the caller",
  "tls-link": "Postern's gateway and agent, link over TLS, plain to the caller, as behind a proxy that ends TLS",
  "tunnel-tls": "Postern's gateway and agent, link and callers over TLS",
  before: "as postern-tunnel, of the commit that `--before` names",
};

/** Postern as people run it: keys, limits, usage records, stream tap, metrics and access log on. */
export function posternPeer(way: Way): Peer {
  const isTls = way === "tunnel-tls";
  return {
    name: `postern-${way}`,
    describe: WORDS[way],
    isTls,
    hasMemory: way === "tunnel" || way === "tunnel-tls",
    async start(ground) {
      if (way === "before") {
        if (ground.before === null) throw new Error("no earlier commit was named (--before COMMIT)");
        return posternPeer("tunnel").start({ ...ground, postern: ground.before });
      }
      const running: Child[] = [];
      try {
        return await startAll(way, ground, running);
      } catch (error) {
        for (const child of running.toReversed()) await child.stop();
        throw error;
      }
    },
  };
}

async function startAll(way: Way, ground: Ground, running: Child[]): Promise<RunningPeer> {
  const isTls = way === "tunnel-tls";
  const port = await freePort();
  const folder = join(ground.folder, `postern-${port}`);
  const url = `${isTls ? "https" : "http"}://127.0.0.1:${port}`;
  const agentsPort = way === "tls-link" ? await freePort() : null;
  const gatewayEnv = {
    POSTERN_DATA: join(folder, "gateway"),
    POSTERN_CONFIG: join(folder, "gateway.yaml"),
    NODE_EXTRA_CA_CERTS: ground.certificate.ca,
  };
  mkdirSync(gatewayEnv.POSTERN_DATA, { recursive: true, mode: 0o700 });
  writeFileSync(
    gatewayEnv.POSTERN_CONFIG,
    gatewayConfig(way, ground, { port, adminPort: await freePort(), agentsPort }, url),
  );
  const logFile = join(folder, "gateway.log");
  const gateway = start("postern gateway", process.execPath, [...flags("gateway", folder), ground.postern, "gateway"], {
    env: gatewayEnv,
    logFile,
  });
  running.push(gateway);
  await until(gateway, async () => (await ask(`${url}/healthz`, ground)).ok);
  const key = await createKey(ground.postern, gatewayEnv);
  const processes: RunningPeer["processes"][number][] = [{ role: "gateway", pid: gateway.pid }];
  if (way !== "direct") {
    const dials = agentsPort === null ? url : `https://127.0.0.1:${agentsPort}`;
    const agent = await startAgent(ground, folder, dials, gatewayEnv);
    running.push(agent);
    processes.push({ role: "agent", pid: agent.pid });
  }
  await until(running.at(-1) ?? gateway, async () => {
    const answer = await ask(`${url}/v1/models`, ground, key);
    return answer.ok && answer.text.includes('"bench"');
  });
  return {
    port,
    isTls,
    headers: [`Authorization: Bearer ${key}`],
    processes,
    version: `Node ${process.version}`,
    async stop() {
      for (const child of running.toReversed()) await child.stop();
    },
  };
}

async function startAgent(
  ground: Ground,
  folder: string,
  url: string,
  gatewayEnv: Record<string, string>,
): Promise<Child> {
  const env = {
    POSTERN_DATA: join(folder, "agent"),
    POSTERN_CONFIG: join(folder, "agent.yaml"),
    NODE_EXTRA_CA_CERTS: ground.certificate.ca,
  };
  mkdirSync(env.POSTERN_DATA, { recursive: true, mode: 0o700 });
  writeFileSync(env.POSTERN_CONFIG, agentConfig(ground));
  const invitation = await postern(ground.postern, ["nodes", "invite", "bench"], gatewayEnv);
  const code = /pstn_[A-Za-z0-9_.-]+/.exec(JSON.stringify(invitation))?.[0];
  if (code === undefined) throw new Error("no invitation in the answer");
  return start(
    "postern agent",
    process.execPath,
    [...flags("agent", folder), ground.postern, "agent", "join", url, "-"],
    {
      env,
      input: `${code}\n`,
      logFile: join(folder, "agent.log"),
    },
  );
}

/**
 * For finding out where time goes: `BENCH_CPU_PROFILE=FOLDER` writes a processor profile of each process when it ends,
 * `BENCH_NODE_FLAGS` gives Node further flags.
 */
function flags(role: string, folder: string): string[] {
  const { BENCH_CPU_PROFILE: into, BENCH_NODE_FLAGS: more } = process.env;
  const profile = into ? ["--cpu-prof", `--cpu-prof-dir=${join(into, `${role}-${folder.split("-").at(-1)}`)}`] : [];
  return [...(more?.split(" ") ?? []), ...profile];
}

function gatewayConfig(
  way: Way,
  { enginePort, certificate }: Ground,
  { port, adminPort, agentsPort }: { port: number; adminPort: number; agentsPort: number | null },
  url: string,
): string {
  const files = `tls: { cert: ${certificate.cert}, key: ${certificate.key} }`;
  const tls = way === "tunnel-tls" ? `\n  ${files}` : "";
  const agents = agentsPort === null ? "" : `\n  agents: { listen: "127.0.0.1:${agentsPort}", ${files} }`;
  const nodes = way === "direct" ? `nodes:\n  bench: { url: "http://127.0.0.1:${enginePort}", kind: openai }\n` : "";
  return `gateway:
  listen: "127.0.0.1:${port}"
  publicUrl: "${url}"${tls}${agents}
  admin: { listen: "127.0.0.1:${adminPort}" }
  limits: { connections: 20000, requests: 20000, requestsPerKey: 20000 }
${nodes}`;
}

function agentConfig({ enginePort }: Ground): string {
  return `agent:
  discover: false
  embedded: { mode: none }
  engines:
    bench: { url: "http://127.0.0.1:${enginePort}", kind: openai }
`;
}

async function until(child: Child, isReady: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + READY_MS;
  let isOver = false;
  void child.exited.then(() => {
    isOver = true;
  });
  for (;;) {
    if (await isReady().catch(() => false)) return;
    if (isOver || Date.now() > deadline) throw new Error(`${child.name} does not get ready: ${child.errors().trim()}`);
    await wait(POLL_MS);
  }
}

function ask(url: string, ground: Ground, key?: string): Promise<{ ok: boolean; text: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ ok: boolean; text: string }>();
  const ask = url.startsWith("https:") ? askTls : askPlain;
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  const request = ask(
    url,
    { headers, agent: false, ca: readFileSync(ground.certificate.ca), timeout: 5000 },
    (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => {
        text += part;
      });
      answer.on("end", () => resolve({ ok: answer.statusCode === 200, text }));
    },
  );
  request.on("error", reject).on("timeout", () => request.destroy(new Error("no answer")));
  request.end();
  return promise;
}
