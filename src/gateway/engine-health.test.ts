import { pino } from "pino";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import type { ExchangeHandler, ExchangeRequest } from "../lib/exchange.ts";
import { TargetHealths } from "../routing/target-health.ts";
import { engineReport, nodeReport } from "../tunnel/__fixtures__/node-report.ts";
import { LiveCatalogue } from "./catalogue.ts";
import { EngineHealth } from "./engine-health.ts";
import { ModelOwners } from "./model-owners.ts";

const REPORT = nodeReport(engineReport(["llama", "qwen"], { slots: 2 }));

let stop = () => {};
afterEach(() => stop());

async function make() {
  const clock = new ManualClock();
  const asked: Array<{ request: ExchangeRequest; handler: ExchangeHandler }> = [];
  let isUp = true;
  const reach = {
    canAccept: () => isUp,
    start(request: ExchangeRequest, handler: ExchangeHandler) {
      asked.push({ request, handler });
      return { pause() {}, resume() {}, cancel() {} };
    },
  };
  const owners = await ModelOwners.load({ get: async () => null, set: async () => {} }, () => {});
  const catalogue = new LiveCatalogue(
    () => reach,
    owners,
    () => 1,
  );
  catalogue.setNode({ id: "n", name: "forge", grants: ["*"] });
  catalogue.setReport("n", "c", REPORT);
  const health = new TargetHealths();
  const engineHealth = new EngineHealth({
    clock,
    log: pino({ level: "silent" }),
    health,
    targets: () => catalogue.nodeTargets(),
    revision: () => catalogue.revision,
    pingMs: () => 10,
  });
  engineHealth.start();
  stop = () => engineHealth.stop();
  function answer(status: number, body: string) {
    const { handler } = asked.at(-1) ?? { handler: null };
    handler?.onHead(status, {});
    handler?.onData(Buffer.from(body));
    handler?.onEnd();
  }
  return { clock, asked, health, engineHealth, answer, goAway: () => (isUp = false), back: () => (isUp = true) };
}

describe("EngineHealth", () => {
  it("asks each engine once through its link, and tells both ends and their difference", async () => {
    const { clock, asked, engineHealth, answer } = await make();
    expect(asked).toHaveLength(1);
    expect(asked[0]?.request).toMatchObject({ method: "GET", path: "/.postern/engine", body: null });
    clock.advance(40);
    answer(200, '{"ok":true,"ms":4.5}');
    expect(engineHealth.latencyOf("n", "ollama")).toMatchObject({ throughMs: 40, engineMs: 4.5, level: "good" });
    expect([...engineHealth.latencies()]).toMatchObject([{ node: "forge", engine: "ollama" }]);
    clock.advance(14_000);
    expect(asked).toHaveLength(1);
    clock.advance(2_000);
    expect(asked).toHaveLength(2);
  });

  it("raises an alarm, with the side that is slow", async () => {
    const { clock, engineHealth, answer } = await make();
    clock.advance(700);
    answer(200, '{"ok":true,"ms":650}');
    expect(engineHealth.latencyOf("n", "ollama")).toMatchObject({ level: "alarm", side: "engine" });
  });

  it("opens the breakers of every model of an engine that does not answer, before a request has to find out (S3-31)", async () => {
    const { clock, asked, health, answer, engineHealth } = await make();
    for (let time = 0; time < 3; time++) {
      clock.advance(10_000);
      clock.advance(3_000);
    }
    expect(asked.length).toBeGreaterThanOrEqual(3);
    expect(health.canTry("n/ollama/llama", clock.monotonicMs())).toBe(false);
    expect(health.canTry("n/ollama/qwen", clock.monotonicMs())).toBe(false);
    expect(engineHealth.latencyOf("n", "ollama")).toBeNull();
    answer(200, '{"ok":true,"ms":3}');
  });

  it("counts an engine that its agent cannot reach as failing, and an agent that does not know the question as well", async () => {
    const { clock, health, answer, engineHealth } = await make();
    answer(200, '{"ok":false,"ms":2000}');
    expect(health.failures("n/ollama/llama")).toBe(1);
    clock.advance(3_000);
    answer(404, "");
    expect(health.failures("n/ollama/llama")).toBe(1);
    expect(engineHealth.latencyOf("n", "ollama")).toMatchObject({ engineMs: null });
  });

  it("does not ask where nobody takes attempts", async () => {
    const { clock, asked, answer, goAway, back } = await make();
    answer(200, '{"ok":true,"ms":1}');
    goAway();
    clock.advance(60_000);
    expect(asked).toHaveLength(1);
    back();
    clock.advance(2_000);
    expect(asked).toHaveLength(2);
  });
});
