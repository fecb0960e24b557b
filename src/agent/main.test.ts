import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { AgentConfig, StartedEngineConfig } from "../config/agent-config.ts";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import {
  answer,
  answerFrom,
  chunk,
  type FakeAnswer,
  type FakeEngine,
  LAST_CHUNK,
  raw,
  STREAM_HEAD,
  startFakeEngine,
} from "../engines/__fixtures__/fake-engine.ts";
import type { EmbeddedEngine, EmbeddedOptions, EngineExit } from "../engines/embedded/start.ts";
import { PosternError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import { run, TestGateway } from "../tunnel/__fixtures__/tunnel-pair.ts";
import { ENGINE_HEADER, OPERATION_HEADER } from "../tunnel/constants.ts";
import { createInvitation } from "../tunnel/invitation.ts";
import type { NodeReport } from "../tunnel/link.ts";
import { type AgentOptions, type AgentStatus, type RunningAgent, startAgent } from "./main.ts";

let folder: string;
let gateway: TestGateway;
const logged: string[] = [];
const closers: Array<() => unknown> = [];

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-agent-"));
  gateway = await new TestGateway().listen();
  logged.length = 0;
  closers.push(
    () => gateway.stop(),
    () => rmSync(folder, { recursive: true, force: true }),
  );
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
});

function invite(): Secret {
  const invitation = createInvitation(gateway.identity.fingerprint);
  gateway.directory.invitations.set(invitation.id, {
    hash: invitation.hash,
    node: { nodeId: "node-1", nodeName: "desk" },
    usesLeft: 1,
  });
  return invitation.code;
}

const CONFIG: AgentConfig = {
  gateway: null,
  node: null,
  discover: false,
  wakeOnLan: false,
  engines: [],
  started: [],
  embedded: { mode: "none", modelPath: null },
  guard: { fields: DEFAULT_FIELD_POLICY, remoteModels: [] },
};

const record = (fields: object, event: string): void => void logged.push(`${event} ${JSON.stringify(fields)}`);

async function start(options: Partial<AgentOptions> = {}): Promise<RunningAgent> {
  const agent = await startAgent({
    dataFolder: folder,
    version: "0.0.0-test",
    config: CONFIG,
    gateway: gateway.url,
    invitation: invite(),
    log: { debug: record, info: record, warn: record, error: record },
    ...options,
  });
  closers.unshift(() => agent.stop());
  return agent;
}

async function fake(behaviour: FakeAnswer): Promise<FakeEngine> {
  const engine = await startFakeEngine(behaviour);
  closers.push(() => engine.close());
  return engine;
}

const LIST = { "/v1/models": { data: [{ id: "m", owned_by: "x" }] } };

/** Lists models, and answers everything else as the test wants. */
function serving(behaviour: FakeAnswer): FakeAnswer {
  const list = answerFrom(LIST);
  return (request) => (request.method === "GET" ? list(request) : behaviour(request));
}

function chat(engine = "openai") {
  return {
    method: "POST" as const,
    path: "/v1/chat/completions",
    headers: { [ENGINE_HEADER]: engine, [OPERATION_HEADER]: "openai.chat", "content-type": "application/json" },
    body: Buffer.from('{"model":"m","messages":[],"stream":true}'),
  };
}

function latest(): NodeReport | undefined {
  return gateway.reports.at(-1)?.report;
}

async function link() {
  await gateway.when(() => gateway.links.pick("node-1") !== null);
  const picked = gateway.links.pick("node-1");
  if (picked === null) throw new Error("no link");
  return picked;
}

/** Resolves when a status fits; for `onStatus`. */
function watching(fits: (status: AgentStatus) => boolean) {
  const { promise, resolve } = Promise.withResolvers<AgentStatus>();
  return { seen: promise, onStatus: (status: AgentStatus) => void (fits(status) && resolve(status)) };
}

describe("startAgent()", () => {
  test("joins, finds an engine, reports it and serves a stream through the link", async () => {
    const engine = await fake(
      serving(raw(STREAM_HEAD + chunk("data: 1\n\n") + chunk("data: [DONE]\n\n") + LAST_CHUNK)),
    );
    const agent = await start({ config: { ...CONFIG, discover: true }, addresses: [engine.url] });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    expect(latest()).toMatchObject({
      agentVersion: "0.0.0-test",
      engines: [
        {
          name: "openai",
          kind: "openai",
          models: [{ name: "m" }],
          operations: expect.arrayContaining(["openai.chat"]),
        },
      ],
    });
    const outcome = await run(await link(), chat());
    expect(outcome).toMatchObject({ status: 200, body: "data: 1\n\ndata: [DONE]\n\n", failure: null });
    expect(agent.status()).toMatchObject({
      node: { id: "node-1", name: "desk" },
      connection: { name: "connected" },
      modelsReason: null,
    });
  });

  test("remembers its gateway, and needs no invitation the second time", async () => {
    const first = await start();
    await link();
    await first.stop();
    const second = await start({ invitation: null, gateway: null });
    await link();
    expect(second.status().node.name).toBe("desk");
    expect(gateway.directory.connectors.size).toBe(1);
  });

  test("takes the same invitation again, as a restarted service does", async () => {
    const invitation = invite();
    const first = await start({ invitation });
    await first.stop();
    await start({ invitation });
    await link();
    expect(gateway.directory.connectors.size).toBe(1);
  });

  test("refuses to start without an invitation, with a broken one, and with a used one", async () => {
    await expect(start({ invitation: null })).rejects.toMatchObject({ code: "connector_refused" });
    await expect(start({ invitation: new Secret("pstn_half") })).rejects.toMatchObject({ code: "invalid_input" });
    const invitation = invite();
    gateway.directory.invitations.clear();
    await expect(start({ invitation })).rejects.toMatchObject({ code: "invitation_refused" });
    expect(logged.join()).not.toContain(invitation.reveal());
  });

  test("lets no second agent run in its folder", async () => {
    const first = await start();
    await expect(start()).rejects.toMatchObject({
      code: "data_folder",
      message: expect.stringContaining("Another agent"),
    });
    await first.stop();
    await start();
  });

  test("stays connected without an engine, and says why it serves nothing", async () => {
    const agent = await start();
    await link();
    expect(latest()?.engines).toEqual([]);
    expect(agent.status().modelsReason).toMatch(/^No inference server was found .* the embedded engine is turned off/);
  });

  test("puts the operator's key on requests to a named engine and shows it to nobody", async () => {
    const engine = await fake(serving(answer(200, "application/json", "{}")));
    const named = {
      name: "mine",
      url: engine.url.origin,
      kind: "openai" as const,
      apiKey: new Secret("engine-key-1"),
      host: null,
      caFile: null,
      serverName: null,
      exposureAccepted: false,
    };
    const agent = await start({ config: { ...CONFIG, engines: [named] } });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    await run(await link(), chat("mine"));
    const post = engine.requests.find((request) => request.method === "POST");
    expect(post?.headers["authorization"]).toBe("Bearer engine-key-1");
    const told = JSON.stringify([gateway.reports.map((one) => one.report), agent.status()]) + logged.join();
    expect(told).not.toContain("engine-key-1");
  });

  test("tells the gateway at once when an engine is gone", async () => {
    const engine = await fake(serving(answer(200, "application/json", "{}")));
    await start({ config: { ...CONFIG, discover: true }, addresses: [engine.url] });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    const through = await link();
    // Readings are 500 ms apart at least; time is real here.
    await engine.close();
    closers.splice(closers.length - 1);
    let outcome = await run(through, chat());
    expect(outcome.failure).toMatchObject({ phase: "connect", kind: "unreachable" });
    while (latest()?.engines[0]?.ready === true) outcome = await run(through, chat());
    expect(latest()?.engines[0]).toMatchObject({ ready: false, reason: "it does not answer", models: [] });
    expect(outcome.failure).toMatchObject({ phase: "connect", kind: "unreachable" });
  });

  test("refuses what the gateway may not ask for, and logs it without the body", async () => {
    const engine = await fake(serving(answer(200, "application/json", "{}")));
    await start({ config: { ...CONFIG, discover: true }, addresses: [engine.url] });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    const through = await link();
    for (const request of [
      { ...chat(), path: "/api/pull" },
      { ...chat(), headers: {} },
      { ...chat(), body: Buffer.from('{"model":"m","messages":[{"content":"my prompt"}],"lora":1}') },
    ]) {
      expect((await run(through, request)).failure).toMatchObject({ kind: "denied" });
    }
    expect(engine.requests.some((request) => request.method === "POST")).toBe(false);
    expect(logged.filter((line) => line.startsWith("attempt_denied")).length).toBe(3);
    expect(logged.join()).not.toContain("my prompt");
  });

  test("drain() lets a running answer end and takes no other", async () => {
    const asked = Promise.withResolvers<FakeEngine["requests"][number]>();
    const engine = await fake(serving((request) => asked.resolve(request)));
    const agent = await start({ config: { ...CONFIG, discover: true }, addresses: [engine.url] });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    const running = run(await link(), chat());
    const request = await asked.promise;
    const drained = agent.drain();
    await gateway.when(() => gateway.links.pick("node-1") === null);
    request.socket.write(STREAM_HEAD + chunk("data: 1\n\n") + LAST_CHUNK);
    expect(await running).toMatchObject({ status: 200, body: "data: 1\n\n", failure: null });
    await drained;
    expect(await agent.ended).toBeNull();
  });

  test("ends at once when the gateway of this machine is another one than it joined, or has forgotten it", async () => {
    const first = await start();
    await link();
    await first.stop();
    const other = await new TestGateway().listen();
    closers.push(() => other.stop());
    const second = await start({ invitation: null, gateway: other.url });
    expect(await second.ended).toMatchObject({ code: "gateway_not_trusted" });
    await second.stop();
    gateway.directory.connectors.clear();
    const third = await start({ invitation: null });
    expect(await third.ended).toMatchObject({ code: "connector_refused" });
  });

  test("ends with what to do when the gateway has removed the node", async () => {
    const agent = await start();
    await link();
    gateway.directory.connectors.clear();
    await gateway.links.removeNode("node-1");
    expect(await agent.ended).toMatchObject({
      code: "connector_refused",
      hint: expect.stringContaining("nodes invite"),
    });
    expect(agent.status().connection.name).toBe("failed");
  });
});

describe("startAgent() with the embedded engine", () => {
  /** Stands in for llama.cpp in a child process: a fake engine that wants its key, and a way to let it crash. */
  async function standIn() {
    const started: EmbeddedOptions[] = [];
    let exit: ((exit: EngineExit) => void) | null = null;
    const engine = await fake(
      answerFrom({
        "/health": { status: "ok", slots: 2 },
        "/v1/models": { data: [{ id: "demo", owned_by: "postern" }] },
      }),
    );
    const startEmbedded = async (options: EmbeddedOptions): Promise<EmbeddedEngine> => {
      started.push(options);
      return {
        url: engine.url,
        pid: 1,
        modelName: "demo",
        stop: async () => {},
        onExit: (callback) => (exit = callback),
      };
    };
    const crash = () => exit?.({ isExpected: false, exitCode: 1, signal: null });
    return { started, engine, startEmbedded, crash };
  }

  const AUTO: AgentConfig = { ...CONFIG, discover: true, embedded: { mode: "auto", modelPath: null } };

  test("starts it where no engine is found, with a key of this machine", async () => {
    const { startEmbedded, started, engine } = await standIn();
    await start({ config: AUTO, addresses: [], startEmbedded });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    expect(latest()?.engines).toMatchObject([
      { name: "embedded", kind: "embedded", slots: 2, models: [{ name: "demo" }] },
    ]);
    const key = started[0]?.apiKey.reveal();
    expect(key).toMatch(/^[0-9A-Za-z_-]{43}$/);
    expect(engine.requests.every((request) => request.headers["authorization"] === `Bearer ${key}`)).toBe(true);
    expect(JSON.stringify(gateway.reports.map((one) => one.report)) + logged.join()).not.toContain(key);
  });

  test("does not start it beside another engine, nor where it is turned off", async () => {
    const { startEmbedded, started } = await standIn();
    const other = await fake(answerFrom(LIST));
    const agent = await start({ config: AUTO, addresses: [other.url], startEmbedded });
    expect(agent.status().embedded.name).toBe("off");
    await agent.stop();
    await start({ config: { ...AUTO, embedded: { mode: "none", modelPath: null } }, addresses: [], startEmbedded });
    expect(started).toEqual([]);
  });

  test("says why there is no model when it cannot be installed", async () => {
    const error = new PosternError("engine_install", { message: "There is no npm here", hint: "Install npm." });
    const { seen, onStatus } = watching((status) => status.embedded.name === "failed");
    await start({ config: AUTO, addresses: [], startEmbedded: () => Promise.reject(error), onStatus });
    expect((await seen).modelsReason).toMatch(
      /^No inference server was found .*\. There is no npm here\. Install npm\.$/,
    );
    await link();
  });

  test("starts it again after a crash", async () => {
    const { startEmbedded, started, crash } = await standIn();
    await start({ config: AUTO, addresses: [], startEmbedded });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    crash();
    await gateway.when(() => latest()?.engines.length === 0);
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    expect(started.length).toBe(2);
  });
});

describe("startAgent() with engines of its own", () => {
  /** Waits before a restart, and between questions whether it is ready, are a tenth. */
  const brisk: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / 10, callback) };

  function owning(changes: Partial<StartedEngineConfig> = {}): AgentConfig {
    const program = join(import.meta.dirname, "__fixtures__/fake-program.ts");
    const engine: StartedEngineConfig = {
      name: "box",
      kind: "llama-server",
      program: process.execPath,
      args: [program],
      port: null,
      environment: {},
      ...changes,
    };
    return { ...CONFIG, embedded: { mode: "auto", modelPath: null }, started: [engine] };
  }

  test("runs them, serves them with their key, starts them again when they crash, and ends them when it stops", async () => {
    const agent = await start({ config: owning(), clock: brisk });
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    expect(latest()?.engines).toMatchObject([
      { name: "box", kind: "llama-server", version: "b11549-00dc8057", slots: 2, models: [{ name: "fake" }] },
    ]);
    // An engine of its own is enough: the embedded one is not needed.
    expect(agent.status()).toMatchObject({ embedded: { name: "off" }, started: [{ name: "box" }] });
    const pid = (): number => {
      const note = readFileSync(join(folder, "agent/engines/box.process"), "utf8");
      return (JSON.parse(note) as { pid: number }).pid;
    };
    const first = pid();
    process.kill(first, "SIGKILL");
    await gateway.when(() => latest()?.engines.length === 0);
    await gateway.when(() => latest()?.engines[0]?.ready === true);
    const second = pid();
    expect(second).not.toBe(first);
    await agent.stop();
    expect(() => process.kill(second, 0)).toThrow("ESRCH");
    expect(logged.join()).toContain("started_engine");
  });

  test("says in one line what to do when the program is not there", async () => {
    const { seen, onStatus } = watching((status) => status.started[0]?.state.name === "failed");
    await start({ config: owning({ program: "no-such-llama-server" }), onStatus });
    expect((await seen).modelsReason).toBe(
      'Cannot start the engine "box": there is no program "no-such-llama-server". ' +
        "Install llama.cpp, or give the program's path in agent.engines.box.start.program.",
    );
  });
});
