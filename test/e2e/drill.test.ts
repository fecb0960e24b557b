import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { DrillRecord } from "../../src/continuity/drill/record.ts";
import { ManualClock } from "../../src/lib/clock.ts";
import { type ConfiguredGateway, startConfigured } from "../support/configured-gateway.ts";
import { eventually } from "../support/eventually.ts";
import {
  type AskedProvider,
  type StandInProvider,
  sendJson,
  startStandInProvider,
} from "../support/stand-in-provider.ts";

// A monthly drill from its schedule to its report without a person: a whole gateway with its store, journal, breakers, alerts and
// admin API, a cloud and a machine at home that are programs of the test, and a receiver of alerts. Only the clock is played: it
// stands two minutes before the first of the month.

const BEFORE_THE_FIRST = Date.UTC(2026, 10, 30, 23, 58);

let clock: ManualClock;
let cloud: StandInProvider;
let home: StandInProvider;
let receiver: StandInProvider;
let gateway: ConfiguredGateway;

beforeEach(async () => {
  clock = new ManualClock(BEFORE_THE_FIRST);
  [cloud, home, receiver] = await Promise.all([startStandInProvider(), startStandInProvider(), startStandInProvider()]);
  const answer = home.answer.bind(home);
  home.answer = (request, response) => {
    if (request.method === "GET")
      sendJson(response, 200, { object: "list", data: [{ id: "home-model", object: "model" }] });
    else answer(request, response);
  };
  receiver.answer = (_request, response) => sendJson(response, 200, {});
});
afterEach(async () => {
  await gateway.close();
  await Promise.all([cloud, home, receiver].map((one) => one.close()));
});

function yaml(more = ""): string {
  return `
providers:
  cloud: { dialect: openai, baseUrl: "${cloud.origin}/v1", apiKey: "env:CLOUD_KEY", models: { cloud-model: cloud-model } }
nodes:
  forge: { url: "${home.origin}", kind: openai }
models:
  assistant: { targets: [{ model: cloud-model, provider: cloud }, { model: home-model, node: forge }] }
alerts:
  groupWait: 1s
  rules: { breaker-open: { for: 1s } }
  channels:
    desk: { type: webhook, url: env:HOOK, secret: env:HOOK_KEY }
continuity:
  drills:
    cloud-away:
      hypothesis: The machine at home answers letters while the cloud is away
      owner: Ada
      scope: { providers: ["*"] }
      before: 10s
      duration: 1m
      after: 2m
      perMinute: 60
      prompts:
        - { model: assistant, workflow: letters, prompt: "Thank a customer.", expect: "cloud" }
      alerts: [breaker-open]
      schedule: monthly
      window: { from: "00:00", to: "02:00" }
${more}`;
}

async function start(): Promise<void> {
  const env = { CLOUD_KEY: "k", HOOK: `${receiver.origin}/hook`, HOOK_KEY: "secret-of-the-test" };
  const policy = { version: 1 as const, workflow: "letters", prefer: "cloud" as const };
  gateway = await startConfigured(yaml(), { clock, env, key: { policy, template: null, expiresInMs: null } });
  await eventually(async () => {
    const models = await gateway.admin.listModels();
    return models.find(({ name }) => name === "assistant")?.targets.every(({ ready }) => ready) === true
      ? true
      : undefined;
  }, "both targets to be ready");
}

/** Time goes by, second after second, with as much of the event loop between them as what is under way needs. */
async function pass(seconds: number): Promise<void> {
  for (let left = seconds; left > 0; left--) {
    clock.advance(1_000);
    for (let turn = 0; turn < 60; turn++) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Lets time go by until the report of a drill is written, which the store does in its own time. */
function untilReport(): Promise<DrillRecord> {
  return eventually(async () => {
    await pass(10);
    const [drill] = await gateway.admin.drills.list();
    return drill?.state === "done" ? gateway.admin.drills.show(drill.id) : undefined;
  }, "the report");
}

const chats = (asked: readonly AskedProvider[]) => asked.filter(({ method }) => method === "POST").length;
const verdicts = ({ proofs }: DrillRecord) => proofs.map(({ verdict }) => verdict);

describe("a monthly drill", () => {
  test("runs from its schedule to its report without a person, and passes", async () => {
    await start();
    expect((await gateway.admin.drills.plans())[0]).toMatchObject({ nextAtMs: Date.UTC(2026, 11, 1), last: null });
    await pass(121);
    const atBlock = await eventually(async () => {
      await pass(1);
      const [drill] = await gateway.admin.drills.list();
      return drill?.state === "during" ? chats(cloud.asked) : undefined;
    }, "the block");
    expect(atBlock).toBeGreaterThan(0);
    await pass(40);
    // Nothing has reached the cloud since, by the cloud's own count.
    expect(chats(cloud.asked)).toBe(atBlock);
    expect(chats(home.asked)).toBeGreaterThan(20);

    const record = await untilReport();
    expect(record).toMatchObject({ result: "passed", startedBy: "schedule", reason: null, leaks: 0 });
    expect(verdicts(record)).toEqual(["passed", "passed", "passed", "passed", "open", "passed", "passed", "passed"]);
    expect(record.figures.during.servedBy).toEqual({ "node/forge": record.figures.during.requests });
    expect(record.figures.after.servedBy["provider/cloud"]).toBeGreaterThanOrEqual(3);
    expect(record.times).toMatchObject({ relapses: 0, knownBadMs: expect.any(Number), recoveryMs: expect.any(Number) });
    expect(record.alerts?.map(({ rule }) => rule)).toContain("breaker-open");
    expect(receiver.asked.some(({ body }) => body.includes("breaker-open"))).toBe(true);
    expect(record.nextAtMs).toBe(Date.UTC(2027, 0, 1));

    // A person's part, and the report for others.
    const sample = record.samples.find(({ phase }) => phase === "during");
    const judged = await gateway.admin.drills.judge(record.id, { sample: sample?.number ?? 0, ok: true });
    expect(verdicts(judged)).toEqual(Array(8).fill("passed"));
    const { text } = await gateway.admin.drills.report(record.id, "html");
    expect(text).toContain("The drill passed");
    const trail = await gateway.admin.listAudit({});
    expect(trail.entries.map(({ action, actor }) => [action, actor.kind])).toEqual(
      expect.arrayContaining([
        ["drills.run", "gateway"],
        ["drills.end", "gateway"],
        ["drills.judge", "socket"],
      ]),
    );
    // Its prompts are in the usage like any request, and its key is gone.
    expect((await gateway.admin.listKeys()).every(({ name }) => !name.startsWith("drill-"))).toBe(true);
  });

  test("fails when the machine that should stand in answers with errors, and when nobody was told", async () => {
    await start();
    await pass(100);
    const answer = home.answer.bind(home);
    home.answer = (request, response) =>
      request.method === "GET"
        ? answer(request, response)
        : sendJson(response, 500, { error: { message: "out of memory" } });
    receiver.answer = (_request, response) => sendJson(response, 500, {});
    const record = await untilReport();
    expect(record.result).toBe("failed");
    expect(record.proofs[1]?.verdict).toBe("failed");
    expect(record.proofs[3]?.verdict).toBe("failed");
    // It was ended early, so that nobody waits for an hour of errors.
    expect(record.reason).toContain("got an error");
  });

  test("is refused, and says why, when the machine that should stand in is away", async () => {
    await start();
    await pass(60);
    home.answer = (_request, response) => void response.destroy();
    await pass(60);
    const record = await untilReport();
    expect(record).toMatchObject({ result: "refused", blockedAtMs: null });
    expect(record.reason).toContain("none is ready");
    // The list may show it a moment before the write has been answered.
    await eventually(async () => {
      const [plan] = await gateway.admin.drills.plans();
      return plan?.last?.result === "refused" ? true : undefined;
    }, "the plan's state");
  });
});
