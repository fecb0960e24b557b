import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import OpenAI from "openai";
import { Agent, fetch as undiciFetch } from "undici";
import type { RequestView } from "../../src/admin/contract-usage.ts";
import { DEMO_MODEL_NAMES, ensureDemoModel } from "../../src/engines/embedded/demo-model.ts";
import { makeCertificate } from "./certificate.ts";
import { eventually } from "./eventually.ts";
import { linkEngine, Postern, postern, temporaryFolder } from "./postern.ts";

/** A gateway with TLS and an agent with a real llama.cpp, in processes of their own, as two machines would have them. */
export interface Deployment {
  baseUrl: string;
  adminUrl: string;
  key: string;
  keyId: string;
  gatewayData: string;
  agentData: string;
  gateway: Postern;
  agent: Postern;
  /** The official client, trusting the test's certificate. */
  client: OpenAI;
  model: string;
  /** `postern` against this gateway's data folder. */
  cli<T>(...args: string[]): Promise<T>;
  /** A finished request's record, or undefined while there is none. */
  request(id: string): Promise<RequestView | undefined>;
  startGateway(): Promise<void>;
  startAgent(): Promise<void>;
  untilServed(): Promise<void>;
}

interface GatewayLine {
  baseUrl: string;
  adminUrl: string;
}

/** Null, after saying so loudly, where llama.cpp cannot be had. */
export async function deploy(name: string, variant: "sentence" | "endless" = "endless"): Promise<Deployment | null> {
  const folder = await temporaryFolder(name);
  const gatewayData = join(folder, "gateway");
  const agentData = join(folder, "agent");
  await mkdir(gatewayData, { mode: 0o700 });
  if (!(await linkEngine(agentData))) return null;
  const { cert, key } = makeCertificate();
  await writeFile(join(folder, "cert.pem"), cert);
  await writeFile(join(folder, "key.pem"), key, { mode: 0o600 });
  const config = join(folder, "postern.yaml");
  await writeConfig(config, 0);
  const modelPath = await ensureDemoModel(join(folder, "models"), variant);
  const model = variant === "sentence" ? "postern-demo" : DEMO_MODEL_NAMES.endless;
  const created = await postern<{ key: { id: string }; secret: string }>([
    "keys",
    "create",
    "e2e",
    "--data",
    gatewayData,
  ]);
  const dispatcher = new Agent({ connect: { ca: cert } });

  const deployment: Deployment = {
    baseUrl: "",
    adminUrl: "",
    key: created.secret,
    keyId: created.key.id,
    gatewayData,
    agentData,
    model,
    gateway: undefined as never,
    agent: undefined as never,
    client: undefined as never,
    cli: (...args) => postern([...args, "--config", config, "--data", gatewayData]),
    async request(id) {
      const socket = new Agent({ connect: { socketPath: join(gatewayData, "admin.sock") } });
      try {
        const answer = await undiciFetch(`http://localhost/admin/v1/requests/${id}`, { dispatcher: socket });
        return answer.status === 200 ? ((await answer.json()) as RequestView) : undefined;
      } finally {
        await socket.close();
      }
    },
    async startGateway() {
      deployment.gateway = new Postern([
        "gateway",
        "--json",
        "--config",
        config,
        "--data",
        gatewayData,
        "--admin-listen",
        "127.0.0.1:0",
      ]);
      const line = await deployment.gateway.firstJson<GatewayLine>();
      deployment.baseUrl = line.baseUrl;
      deployment.adminUrl = line.adminUrl;
      // A second start must take the same port, as a real gateway does.
      await writeConfig(config, Number(new URL(line.baseUrl).port));
      deployment.client = new OpenAI({
        baseURL: line.baseUrl,
        apiKey: deployment.key,
        maxRetries: 0,
        fetch: (url, init) => undiciFetch(String(url), { ...init, dispatcher } as never) as never,
      });
    },
    async startAgent() {
      deployment.agent = new Postern(["agent", "--data", agentData, "--config", join(folder, "agent.yaml")]);
    },
    async untilServed() {
      await eventually(async () => {
        const { models } = await deployment.cli<{ models: Array<{ name: string; ready: boolean }> }>("models", "list");
        return models.find((one) => one.ready)?.name;
      }, "a model that is ready");
    },
  };

  await writeFile(
    join(folder, "agent.yaml"),
    `agent:\n  discover: false\n  embedded:\n    mode: always\n    model: ${modelPath}\n`,
  );
  await deployment.startGateway();
  const invited = await deployment.cli<{ code: string }>("nodes", "invite", "forge");
  const origin = new URL(deployment.baseUrl).origin;
  deployment.agent = new Postern(
    ["agent", "join", origin, "-", "--data", agentData, "--config", join(folder, "agent.yaml")],
    { input: invited.code },
  );
  await deployment.untilServed();
  const { models } = await deployment.cli<{ models: Array<{ name: string; ready: boolean }> }>("models", "list");
  deployment.model = models.find((one) => one.ready)?.name ?? model;
  return deployment;

  async function writeConfig(path: string, port: number): Promise<void> {
    await writeFile(path, `gateway:\n  listen: 127.0.0.1:${port}\n  tls:\n    cert: cert.pem\n    key: key.pem\n`);
  }
}
