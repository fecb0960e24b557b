import { mkdir, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { Agent, fetch as undiciFetch } from "undici";
import type { RequestView } from "../../src/admin/contract-usage.ts";
import { ensureDemoModel } from "../../src/engines/embedded/demo-model.ts";
import { makeCertificate } from "./certificate.ts";
import { eventually } from "./eventually.ts";
import { linkEngine, Postern, postern, temporaryFolder } from "./postern.ts";

/** A gateway, several machines with a real llama.cpp each, and what else its configuration names; each a process of its own. */
export interface Fleet {
  origin: string;
  key: string;
  /** Public name of the model that all machines serve. */
  model: string;
  gateway: Postern;
  agents: Map<string, Postern>;
  fetch(path: string, init?: { method?: string; headers?: Record<string, string>; body?: string }): Promise<Response>;
  cli<T>(...args: string[]): Promise<T>;
  request(id: string): Promise<RequestView | undefined>;
  startAgent(name: string): void;
  /** Resolves when so many machines serve the model. */
  untilServing(count: number): Promise<void>;
}

/** @param more YAML that is added to the gateway's configuration, by the name of the model. Null, after saying so loudly, where llama.cpp cannot be had. */
export async function startFleet(names: readonly string[], more: (model: string) => string): Promise<Fleet | null> {
  const folder = await temporaryFolder("fleet");
  const gatewayData = join(folder, "gateway");
  await mkdir(gatewayData, { mode: 0o700 });
  for (const name of names) if (!(await linkEngine(join(folder, name)))) return null;
  const { cert, key } = makeCertificate();
  await writeFile(join(folder, "cert.pem"), cert);
  await writeFile(join(folder, "key.pem"), key, { mode: 0o600 });
  const config = join(folder, "postern.yaml");
  const path = await ensureDemoModel(join(folder, "models"), "endless");
  // A model of the operator's own is named after its file.
  const model = basename(path, ".gguf");
  await writeFile(config, `gateway:\n  listen: 127.0.0.1:0\n  tls: { cert: cert.pem, key: key.pem }\n${more(model)}`);
  const agentConfig = join(folder, "agent.yaml");
  await writeFile(agentConfig, `agent:\n  discover: false\n  embedded: { mode: always, model: ${path} }\n`);
  const at = ["--config", config, "--data", gatewayData];
  const { secret } = await postern<{ secret: string }>(["keys", "create", "load", "--may-pin", "--data", gatewayData]);

  const gateway = new Postern(["gateway", "--json", ...at, "--admin-listen", "127.0.0.1:0"]);
  const { baseUrl } = await gateway.firstJson<{ baseUrl: string }>();
  const dispatcher = new Agent({ connect: { ca: cert } });
  const socket = new Agent({ connect: { socketPath: join(gatewayData, "admin.sock") } });
  const fleet: Fleet = {
    origin: new URL(baseUrl).origin,
    key: secret,
    model,
    gateway,
    agents: new Map(),
    fetch: (path, init) => undiciFetch(`${fleet.origin}${path}`, { ...init, dispatcher }) as never,
    cli: (...args) => postern([...args, ...at]),
    async request(id) {
      const answer = await undiciFetch(`http://localhost/admin/v1/requests/${id}`, { dispatcher: socket });
      return answer.status === 200 ? ((await answer.json()) as RequestView) : undefined;
    },
    startAgent(name) {
      fleet.agents.set(name, new Postern(["agent", "--data", join(folder, name), "--config", agentConfig]));
    },
    untilServing: (count) =>
      eventually(async () => {
        const { models } = await fleet.cli<{
          models: Array<{ name: string; targets: Array<{ node: string; ready: boolean }> }>;
        }>("models", "list");
        const targets = models.find(({ name }) => name === fleet.model)?.targets ?? [];
        return targets.filter(({ node, ready }) => ready && names.includes(node)).length === count ? true : undefined;
      }, `${count} machines that serve the model`).then(() => undefined),
  };
  for (const name of names) {
    const { code } = await fleet.cli<{ code: string }>("nodes", "invite", name, "--models", "postern*");
    const join_ = ["agent", "join", fleet.origin, "-", "--data", join(folder, name), "--config", agentConfig];
    fleet.agents.set(name, new Postern(join_, { input: code }));
  }
  await fleet.untilServing(names.length);
  return fleet;
}
