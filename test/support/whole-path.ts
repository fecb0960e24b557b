import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { AdminClient } from "../../src/admin/client.ts";
import type { RequestView } from "../../src/admin/contract-usage.ts";
import { socketTransport } from "../../src/admin/transport.ts";
import { startAgent } from "../../src/agent/main.ts";
import type { AgentConfig } from "../../src/config/agent-config.ts";
import { defaultConfig } from "../../src/config/defaults.ts";
import type { GatewayConfig, ResolvedConfig } from "../../src/config/resolved.ts";
import { startGateway } from "../../src/gateway/main.ts";
import { Closers } from "../../src/lib/closers.ts";
import { Secret } from "../../src/lib/secret.ts";
import { eventually } from "./eventually.ts";
import { linkEngine } from "./postern.ts";

/** What a caller may wait for the engines of a test to be found. */
const READY_LIMIT_MS = 60_000;

export interface WholePathOptions {
  /** Engines and what else the agent is told. Nothing is looked for by itself. */
  agent: Partial<AgentConfig>;
  gateway?: Partial<GatewayConfig>;
  models?: ResolvedConfig["models"];
  /** Whether the real llama.cpp is needed. */
  isEmbedded?: boolean;
}

/**
 * A gateway and an agent with a tunnel between them, and a key.
 *
 * They run in this process, with everything real but the machines: sockets on loopback, store, journal, handshake. What only
 * separate processes show (kills, signals, TLS) is in `deployment.ts`.
 */
export interface WholePath {
  /** Where callers reach it, without `/v1`. */
  readonly origin: string;
  readonly key: string;
  readonly admin: AdminClient;
  /** Names of the models that can be asked now. */
  models(): Promise<string[]>;
  /** Resolves when all of these can be asked. */
  untilServed(...models: string[]): Promise<void>;
  /** The record of a request, once it is closed. */
  record(requestId: string): Promise<RequestView>;
  close(): Promise<void>;
}

/** Null, after saying so loudly, where llama.cpp is wanted and cannot be had. */
export async function startWholePath(options: WholePathOptions): Promise<WholePath | null> {
  const closers = new Closers();
  try {
    const folder = await mkdtemp(join(tmpdir(), "postern-whole-path-"));
    closers.add(() => rm(folder, { recursive: true, force: true }));
    const agentFolder = join(folder, "agent");
    if (options.isEmbedded === true && !(await linkEngine(agentFolder))) {
      await closers.close();
      return null;
    }
    const config = defaultConfig(join(folder, "gateway"));
    const free = { host: "127.0.0.1", port: 0 };
    const gateway = await startGateway(
      {
        ...config,
        models: options.models ?? [],
        gateway: {
          ...config.gateway,
          ...options.gateway,
          listen: free,
          admin: { ...config.gateway.admin, listen: free },
        },
      },
      { log: pino({ level: "silent" }) },
    );
    closers.add(() => gateway.stop());
    const admin = new AdminClient(socketTransport(gateway.socketPath));
    closers.add(() => admin.close());
    const { secret } = await admin.createKey({ name: "test" });
    const { code } = await admin.inviteNode({ name: "forge" });
    const agent = await startAgent({
      dataFolder: agentFolder,
      version: "0.0.0-test",
      config: {
        ...config.agent,
        discover: false,
        embedded: { mode: "none", modelPath: null },
        ...options.agent,
      },
      gateway: new URL(gateway.publicUrl),
      invitation: new Secret(code),
      log: pino({ level: "silent" }),
    });
    closers.add(() => agent.stop());

    const models = async (): Promise<string[]> =>
      (await admin.listModels()).filter((model) => model.ready).map((model) => model.name);
    return {
      origin: gateway.publicUrl,
      key: secret,
      admin,
      models,
      async untilServed(...wanted) {
        await eventually(
          async () => {
            const ready = new Set(await models());
            return wanted.every((name) => ready.has(name) || ready.has(`${name}:latest`)) || undefined;
          },
          `the models ${wanted.join(", ")}`,
          READY_LIMIT_MS,
        );
      },
      record: (id) => eventually(() => admin.request(id), `the record of ${id}`),
      close: () => closers.close(),
    };
  } catch (error) {
    await closers.close();
    throw error;
  }
}
