import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { RequestView } from "../../src/admin/contract-usage.ts";
import { startAgent } from "../../src/agent/main.ts";
import { defaultConfig } from "../../src/config/defaults.ts";
import { Closers } from "../../src/lib/closers.ts";
import { Secret } from "../../src/lib/secret.ts";
import { type CallerView, readView } from "./caller-view.ts";
import { startConfigured } from "./configured-gateway.ts";
import { eventually } from "./eventually.ts";
import { type Behaviour, UpstreamAnswer } from "./fault-upstream.ts";
import { NudgedClock } from "./nudged-clock.ts";
import { type StandInProvider, sendJson, startStandInProvider } from "./stand-in-provider.ts";

/** Who is asked first: an engine behind the tunnel, or a provider. The other one takes over. */
export type Primary = "node" | "provider";

/** Models that callers ask for: with somebody to take over, and without. */
export type BenchModel =
  | "bench"
  | "alone"
  /** With rescue, and a third target that can go on; the second one refuses to. */
  | "saved";

/**
 * A gateway, an agent and the tunnel between them, a stand-in engine beside the agent and a stand-in cloud, with the limits of
 * the fault catalogue: 15 s to the first token, 30 s of silence. Time is pushed on by the test.
 */
export interface FaultBench {
  readonly clock: NudgedClock;
  /** Requests that each has had. */
  readonly counts: { readonly primary: number; readonly fallback: number; readonly spare: number };
  primary: Behaviour;
  fallback: Behaviour;
  /** A node that the gateway reaches by URL; asked for `saved` alone. */
  spare: Behaviour;
  ask(options?: { model?: BenchModel; isStream?: boolean }): Promise<CallerView>;
  /** The same while time passes, at most so much of it. */
  askFor(ms: number, options?: { model?: BenchModel; isStream?: boolean }): Promise<CallerView>;
  record(view: CallerView): Promise<RequestView>;
  /** Zeroes the counts. */
  reset(): void;
  close(): Promise<void>;
}

export async function startFaultBench(primary: Primary): Promise<FaultBench> {
  const closers = new Closers();
  const clock = new NudgedClock();
  const engine = await startStandInProvider();
  closers.add(() => engine.close());
  const cloud = await startStandInProvider();
  closers.add(() => cloud.close());
  play(engine, "near", primary === "node" ? "primary" : "fallback");
  play(cloud, "far", primary === "node" ? "fallback" : "primary");
  const spare = await startStandInProvider();
  closers.add(() => spare.close());
  play(spare, "spare", "spare");
  const folder = await mkdtemp(join(tmpdir(), "postern-faults-"));
  closers.add(() => rm(folder, { recursive: true, force: true }));
  const first = primary === "node" ? "{ model: near, node: forge }" : "{ model: far, provider: cloud }";
  const second = primary === "node" ? "{ model: far, provider: cloud }" : "{ model: near, node: forge }";
  const gateway = await startConfigured(
    `
gateway:
  timeouts: { firstToken: 15s, firstTokenProvider: 15s, betweenTokens: 30s, betweenTokensProvider: 30s }
nodes:
  spare: { url: "${spare.origin}", kind: vllm }
providers:
  cloud: { dialect: openai, baseUrl: "${cloud.origin}/v1", models: [far] }
models:
  bench: { targets: [${first}, ${second}] }
  alone: { targets: [${first}] }
  saved: { rescue: true, strategy: priority, targets: [${first}, ${second}, { model: spare, node: spare }] }
`,
    {
      clock,
      key: {
        template: null,
        expiresInMs: null,
        policy: { version: 1, prefer: primary === "node" ? "local" : "cloud" },
      },
    },
  );
  closers.add(() => gateway.close());
  const { code } = await gateway.admin.inviteNode({ name: "forge" });
  const config = defaultConfig(folder);
  const address = { apiKey: null, host: null, caFile: null, serverName: null };
  const agent = await startAgent({
    dataFolder: join(folder, "agent"),
    version: "0.0.0-test",
    config: {
      ...config.agent,
      discover: false,
      embedded: { mode: "none", modelPath: null },
      engines: [{ ...address, name: "stand-in", url: engine.origin, kind: "vllm", exposureAccepted: true }],
    },
    gateway: new URL(gateway.origin),
    invitation: new Secret(code),
    log: pino({ level: "silent" }),
    clock,
  });
  closers.add(() => agent.stop());

  const counts = { primary: 0, fallback: 0, spare: 0 };
  const bench: FaultBench = {
    clock,
    counts,
    primary: (answer) => answer.whole(),
    fallback: (answer) => answer.whole(),
    spare: (answer) => answer.whole(),
    async ask({ model = "bench", isStream = true } = {}) {
      const stream = isStream ? { stream: true, stream_options: { include_usage: true } } : {};
      const messages = [{ role: "user", content: "sixty words, please" }];
      return readView(await gateway.ask("/v1/chat/completions", { model, messages, ...stream }));
    },
    async askFor(ms, options) {
      let isOver = false;
      const view = bench.ask(options).finally(() => {
        isOver = true;
      });
      const all = () => counts.primary + counts.fallback + counts.spare;
      const before = all();
      // Time passes only once the request has come to where the fault is.
      await eventually(async () => all() > before || isOver || undefined, "a request");
      await clock.pass(ms, () => isOver);
      return view;
    },
    record: ({ headers }) => eventually(() => gateway.admin.request(headers.get("x-request-id") ?? ""), "the record"),
    reset() {
      counts.primary = 0;
      counts.fallback = 0;
      counts.spare = 0;
    },
    close: () => closers.close(),
  };
  await eventually(async () => {
    const models = await gateway.admin.listModels();
    const found = models.find(({ name }) => name === "saved");
    return (found?.targets.length === 3 && found.targets.every(({ ready }) => ready)) || undefined;
  }, "all targets");
  return bench;

  function play(standIn: StandInProvider, model: string, role: "primary" | "fallback" | "spare"): void {
    standIn.answer = ({ method, url, body }, response) => {
      if (method === "GET" && url.startsWith("/version")) return sendJson(response, 200, { version: "0.11.0" });
      if (method === "GET")
        return sendJson(response, 200, { object: "list", data: [{ id: model, object: "model", owned_by: "vllm" }] });
      counts[role] += 1;
      bench[role](new UpstreamAnswer(body, response, model, clock), counts[role]);
    };
  }
}
