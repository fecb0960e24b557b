import { randomBytes } from "node:crypto";
import pino from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody } from "../../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../../test/support/data-plane.ts";
import type { PlayedAttempt, PlayedTarget } from "../../../test/support/played-target.ts";
import { drillPlan } from "../../continuity/drill/__fixtures__/drill-record.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { type AlertEvidence, type DrillRecord, parseDrill } from "../../continuity/drill/record.ts";
import { createUuidV7 } from "../../lib/uuidv7.ts";
import type { AuditDraft } from "../../storage/audit-chain.ts";
import type { DrillRow, Store } from "../../storage/store.ts";
import type { DrillParts } from "./drill-parts.ts";
import { Drills } from "./drills.ts";
import { DrillScheduler } from "./scheduler.ts";

// Drills over the real data plane: real requests over loopback, a fault injector that really stands in their way, targets that the
// test plays, and a clock that it moves. A drill that goes well must pass, and each way in which failover can be broken must fail it.

const CLOUD = "node/cloud";
const HOME = "node/home";
/** Whatever the test does with the cloud after the block. */
type Behaviour = (attempt: PlayedAttempt) => void;

const ok: Behaviour = (attempt) => {
  const { stream } = JSON.parse(String(attempt.request.body)) as { stream?: boolean };
  if (stream !== true) return attempt.answer(200, chatAnswer("Blue"));
  attempt.streamHead();
  attempt.token("Blue");
  attempt.finish();
};
const broken: Behaviour = (attempt) => attempt.answer(500, { error: { message: "no" } });

class Bench {
  plane!: DataPlane;
  cloud!: PlayedTarget;
  home!: PlayedTarget;
  cloudDoes: Behaviour = ok;
  homeDoes: Behaviour = ok;
  rows = new Map<string, DrillRow>();
  audit: AuditDraft[] = [];
  alerts: AlertEvidence[] | null = [ALERT];
  alertsSince = () => (this.alerts === null ? null : Promise.resolve(this.alerts));
  answered: Array<{ target: string; keyId: string; model: string; requests: number }> = [];
  settings = new Map<string, Uint8Array>();
  drills!: Drills;
  isSystemBlocked = false;
  liftFails = false;
  /** What the system waits for before it blocks. */
  systemBlocks: Promise<void> = Promise.resolve();
  #isOpen = true;

  async open(): Promise<void> {
    this.plane = await startDataPlane({ observe: (summary) => this.drills.seen(summary) });
    [this.cloud, this.home] = this.plane.serve("gpt", "cloud", "home") as [PlayedTarget, PlayedTarget];
    // The cloud comes first for everybody who may choose.
    this.home.inFlight = 1_000;
    void this.#play(this.cloud, (attempt) => this.cloudDoes(attempt));
    void this.#play(this.home, (attempt) => this.homeDoes(attempt));
    this.drills = new Drills(this.parts());
  }

  async close(): Promise<void> {
    this.#isOpen = false;
    await this.drills.stop();
    await this.plane.close();
  }

  takeAway(name: "cloud" | "home"): void {
    this[name].isAccepting = false;
  }

  parts(): DrillParts {
    const { plane } = this;
    return {
      clock: plane.clock,
      log: pino({ level: "silent" }),
      newId: createUuidV7(),
      store: this.store(),
      faults: plane.faults,
      catalogue: plane.catalogue,
      targets: () => [this.cloud, this.home],
      urls: new Map([[CLOUD, "https://cloud.example/v1"]]),
      keyring: plane.keyring,
      places: plane.places,
      handle: (request, response, origin) => plane.pipeline.handle(request, response, origin),
      settleUsage: async () => {},
      storeTrouble: () => null,
      contingency: () => null,
      alertsSince: () => this.alertsSince(),
      system: {
        trouble: async () => null,
        block: async () => {
          await this.systemBlocks;
          this.isSystemBlocked = true;
          return ["192.0.2.1"];
        },
        lift: async () => {
          if (this.liftFails) throw new Error("nft: not permitted");
          this.isSystemBlocked = false;
        },
      },
    };
  }

  store(): DrillParts["store"] {
    const drills: Store["drills"] = {
      put: async (row) => void this.rows.set(row.id, row),
      find: async (id) => this.rows.get(id) ?? null,
      list: async (plan) => [...this.rows.values()].filter((row) => plan === null || row.plan === plan).toReversed(),
      unfinished: async () => [...this.rows.values()].filter(({ endedAtMs }) => endedAtMs === null),
    };
    const settings = {
      get: async (name: string) => this.settings.get(name) ?? null,
      set: async (name: string, value: Uint8Array) => void this.settings.set(name, value),
    };
    return {
      drills,
      settings,
      usage: { answered: async () => this.answered },
      audited: (entry) => {
        this.audit.push(entry);
        return { drills };
      },
    };
  }

  /** Everything that moves when time does: prompts, phases, ticks. */
  async pass(ms: number, stepMs = 1_000): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.plane.clock.advance(Math.min(stepMs, left));
      await this.settle();
    }
  }

  /** Lets requests that are under way come to their end, or to where they wait for the clock. */
  async settle(): Promise<void> {
    for (let quiet = 0, turns = 0; quiet < 3 && turns < 400; turns++) {
      await new Promise((resolve) => setImmediate(resolve));
      quiet = this.plane.pipeline.running === 0 ? quiet + 1 : 0;
    }
  }

  start(plan: DrillPlan, isForced = false): Promise<DrillRecord> {
    const write = async (row: DrillRow) => void this.rows.set(row.id, row);
    return this.drills.start(plan, { startedBy: "ada", isForced, write });
  }

  async whole(plan: DrillPlan): Promise<DrillRecord> {
    const { id } = await this.start(plan, true);
    await this.pass(plan.beforeMs + plan.durationMs + plan.afterMs + 1_000);
    return this.kept(id);
  }

  async kept(id: string): Promise<DrillRecord> {
    await expect.poll(() => this.rows.get(id)?.endedAtMs ?? null).not.toBeNull();
    const record = parseDrill(this.rows.get(id)?.body ?? "");
    if (record === null) throw new Error("no record");
    return record;
  }

  ask(): Promise<Response> {
    return fetch(`http://127.0.0.1:${this.plane.port}/v1/chat/completions`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.plane.key}` },
      body: JSON.stringify(chatBody("gpt")),
    });
  }

  async #play(target: PlayedTarget, does: Behaviour): Promise<void> {
    while (this.#isOpen) does(await target.next());
  }
}

const ALERT: AlertEvidence = {
  rule: "breaker-open",
  summary: "the cloud is left out",
  severity: "warning",
  raisedAtMs: 1,
  resolvedAtMs: null,
  deliveries: [{ channel: "webhook", atMs: 2, ok: true }],
};

function plan(fields: Partial<DrillPlan> = {}): DrillPlan {
  return drillPlan({
    scope: { providers: [], nodes: ["cloud"], models: null, workflows: null, share: 1 },
    beforeMs: 10_000,
    durationMs: 30_000,
    afterMs: 60_000,
    traffic: {
      kind: "synthetic",
      perMinute: 60,
      max: 500,
      prompts: [{ model: "gpt", text: "Name a primary colour", workflow: null, expect: "blue" }],
    },
    ...fields,
  });
}

const verdicts = ({ proofs }: DrillRecord) =>
  Object.fromEntries(proofs.map(({ number, verdict }) => [number, verdict]));

let bench: Bench;
beforeEach(async () => {
  bench = new Bench();
  await bench.open();
});
afterEach(() => bench.close());

describe("a drill", () => {
  it("measures, blocks, lifts the block, sees the recovery, and passes", async () => {
    const record = await bench.whole(plan());
    expect(record).toMatchObject({ result: "passed", state: "done", reason: null, startedBy: "ada" });
    expect(record.figures.before.servedBy).toEqual({ [CLOUD]: record.figures.before.requests });
    expect(record.figures.during.requests).toBeGreaterThan(20);
    expect(record.figures.during).toMatchObject({ errors: 0, servedBy: { [HOME]: record.figures.during.requests } });
    expect(record.injected).toBeGreaterThan(0);
    expect(record.leaks).toBe(0);
    expect(record.times).toMatchObject({ switches: expect.any(Number), relapses: 0 });
    expect(record.times.recoveryMs).toBeLessThanOrEqual(60_000);
    expect(record.probes).toEqual([{ target: CLOUD, ok: true, reason: null }]);
    expect(verdicts(record)).toEqual({
      1: "passed",
      2: "passed",
      3: "passed",
      4: "passed",
      5: "open",
      6: "passed",
      7: "passed",
      8: "passed",
    });
    expect(record.samples.map(({ phase, servedBy, expected }) => [phase, servedBy, expected])).toEqual([
      ["before", CLOUD, true],
      ["during", HOME, true],
    ]);
    expect(bench.audit.map(({ action }) => action)).toEqual(["drills.end"]);
  });

  it("leaves nothing behind: no fault, no key, no timer, no listener", async () => {
    const timers = bench.plane.clock.pendingTimers;
    const keys = bench.plane.keyring.size;
    await bench.whole(plan());
    expect(bench.plane.faults.isIdle).toBe(true);
    expect(bench.plane.keyring.size).toBe(keys);
    expect(bench.plane.clock.pendingTimers).toBeLessThanOrEqual(timers + 1);
    expect(bench.drills.running).toBeNull();
  });

  it("counts callers' requests too, and with real traffic only those", async () => {
    const real = plan({ traffic: { kind: "real", perMinute: 60, max: 1, prompts: [] } });
    const { id } = await bench.start(real);
    await bench.pass(5_000);
    await bench.ask();
    await bench.pass(10_000);
    expect((await bench.ask()).headers.get("x-postern-served-by")).toBe(HOME);
    await bench.pass(90_000);
    const record = await bench.kept(id);
    expect(record).toMatchObject({ synthetic: 0, samples: [] });
    expect([record.figures.before.requests, record.figures.during.requests]).toEqual([1, 1]);
  });

  it("asks with the policy of the workflow", async () => {
    const tagged = bench.plane.addKey(["gpt"], {
      workflow: "letters",
      targets: { nodes: ["home"] },
      addresses: ["203.0.113.7"],
    });
    const prompts = [{ model: "gpt", text: "hi", workflow: "letters", expect: null }];
    const record = await bench.whole(plan({ traffic: { kind: "synthetic", perMinute: 60, max: 500, prompts } }));
    expect(record.workflows.map(({ workflow }) => workflow)).toEqual(["letters"]);
    expect(record.figures.before.servedBy).toEqual({ [HOME]: record.figures.before.requests });
    expect(bench.plane.keyring.find(tagged.id)).toBeDefined();
  });

  it("sends no more prompts than its plan allows, and some of them after the block", async () => {
    const prompts = plan().traffic.prompts;
    const record = await bench.whole(plan({ traffic: { kind: "synthetic", perMinute: 600, max: 20, prompts } }));
    expect(record.synthetic).toBeLessThanOrEqual(20);
    expect(record.figures.after.requests).toBeGreaterThan(0);
  });
});

describe("a drill fails when", () => {
  it("nothing else can answer", async () => {
    bench.home.isAccepting = false;
    const record = await bench.whole(plan({ stop: { errorRatio: 1, minRequests: 10, p95Ms: null } }));
    expect(record.result).toBe("failed");
    expect(verdicts(record)[2]).toBe("failed");
    expect(verdicts(record)[1]).toBe("not-shown");
  });

  it("what stands in answers with errors", async () => {
    bench.homeDoes = broken;
    const record = await bench.whole(plan({ stop: { errorRatio: 1, minRequests: 10, p95Ms: null } }));
    expect(record.result).toBe("failed");
    expect(verdicts(record)[2]).toBe("failed");
  });

  it("a workflow's policy keeps it from what stands in", async () => {
    bench.plane.addKey(["gpt"], { workflow: "letters", targets: { nodes: ["cloud"] } });
    const prompts = [
      { model: "gpt", text: "hi", workflow: "letters", expect: null },
      { model: "gpt", text: "hi", workflow: null, expect: null },
    ];
    const traffic = { kind: "synthetic", perMinute: 60, max: 500, prompts } as const;
    const record = await bench.whole(plan({ traffic, stop: { errorRatio: 1, minRequests: 10, p95Ms: null } }));
    expect(record.result).toBe("failed");
    expect(record.proofs[1]?.words.join(" ")).toContain("the workflow letters");
  });

  it("the usage records know of an answer by what was blocked", async () => {
    bench.answered = [{ target: CLOUD, keyId: "aaaaaaaaaaaa", model: "gpt", requests: 2 }];
    const record = await bench.whole(plan());
    expect(record).toMatchObject({ result: "failed", leaks: 2 });
  });

  it("nobody can say whether there were alerts, and the report has it", async () => {
    bench.alertsSince = () => Promise.reject(new Error("the store is locked"));
    const record = await bench.whole(plan());
    expect(verdicts(record)[4]).toBe("failed");
    expect(record.timeline.map(({ text }) => text)).toContain("The alerts could not be read");
  });

  it("the alert is not delivered", async () => {
    bench.alerts = [{ ...ALERT, deliveries: [{ channel: "webhook", atMs: 2, ok: false }] }];
    expect(verdicts(await bench.whole(plan()))[4]).toBe("failed");
  });

  it("what was blocked falls over again after it came back", async () => {
    let answers = 0;
    const { id } = await bench.start(plan());
    await bench.pass(41_000);
    bench.cloudDoes = (attempt) => (++answers === 5 ? broken(attempt) : ok(attempt));
    await bench.pass(70_000);
    const record = await bench.kept(id);
    expect(record.times.relapses).toBe(1);
    expect(verdicts(record)[6]).toBe("failed");
  });

  it("what was blocked never comes back", async () => {
    const { id } = await bench.start(plan());
    await bench.pass(39_000);
    bench.cloudDoes = broken;
    await bench.pass(70_000);
    const record = await bench.kept(id);
    expect([verdicts(record)[6], verdicts(record)[7]]).toEqual(["failed", "failed"]);
  });

  it("the system goes on blocking; else it is let go when the block ends, not when the report is written", async () => {
    const { id } = await bench.start(plan({ block: "system" }));
    await bench.pass(39_000);
    expect(bench.isSystemBlocked).toBe(true);
    await bench.pass(2_000);
    expect(bench.isSystemBlocked).toBe(false);
    await bench.drills.abort(id, "enough");
    bench.liftFails = true;
    const record = await bench.whole(plan({ block: "system" }));
    expect(verdicts(record)[7]).toBe("failed");
    expect(record.result).toBe("failed");
  });

  it("an answer is not what the plan expects", async () => {
    const prompts = [{ model: "gpt", text: "hi", workflow: null, expect: "seven" }];
    const record = await bench.whole(plan({ traffic: { kind: "synthetic", perMinute: 60, max: 500, prompts } }));
    expect(verdicts(record)[5]).toBe("failed");
  });

  it("too many requests fail: it ends early, and the block goes at once", async () => {
    bench.homeDoes = broken;
    const { id } = await bench.start(plan({ stop: { errorRatio: 0.2, minRequests: 5, p95Ms: null } }));
    await bench.pass(22_000);
    const record = await bench.kept(id);
    expect(record).toMatchObject({ result: "failed", reason: expect.stringContaining("got an error") });
    expect((record.unblockedAtMs ?? 0) - (record.blockedAtMs ?? 0)).toBeLessThan(15_000);
    expect(bench.plane.faults.isIdle).toBe(true);
  });
});

describe("a drill is not started", () => {
  it.each<[string, () => void, Partial<DrillPlan>]>([
    ["what could stand in is away", () => bench.takeAway("home"), {}],
    ["what it blocks is away already", () => bench.takeAway("cloud"), {}],
    ["it is outside its window", () => {}, { window: { from: 0, to: 1, days: null } }],
    [
      "a prompt asks for a workflow without a key",
      () => {},
      {
        traffic: {
          kind: "synthetic",
          perMinute: 1,
          max: 1,
          prompts: [{ model: "gpt", text: "x", workflow: "nobody", expect: null }],
        },
      },
    ],
  ])("when %s", async (_what, prepare, fields) => {
    prepare();
    await expect(bench.start(plan(fields))).rejects.toMatchObject({ code: "drill_refused" });
    expect(bench.rows.size).toBe(0);
    expect(bench.plane.faults.isIdle).toBe(true);
  });

  it("while another one runs, whoever forces it", async () => {
    await bench.start(plan());
    await expect(bench.start(plan(), true)).rejects.toMatchObject({ code: "drill_refused" });
  });

  it("while another one is being started", async () => {
    const first = bench.start(plan());
    await expect(bench.start(plan(), true)).rejects.toMatchObject({ code: "drill_refused" });
    await first;
    expect(bench.rows.size).toBe(1);
  });
});

describe("the block ends", () => {
  it("when an operator aborts the drill, and the report says so", async () => {
    const { id } = await bench.start(plan());
    await bench.pass(15_000);
    expect(bench.plane.faults.isIdle).toBe(false);
    const record = await bench.drills.abort(id, "aborted by ada");
    expect(bench.plane.faults.isIdle).toBe(true);
    expect(record).toMatchObject({ result: "aborted", reason: "aborted by ada" });
    expect(bench.drills.abort(id, "again")).toBeNull();
  });

  it("when it is aborted while the system still puts it up", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    bench.systemBlocks = promise;
    const { id } = await bench.start(plan({ block: "system" }));
    await bench.pass(10_000);
    const aborted = bench.drills.abort(id, "aborted by ada");
    await bench.settle();
    resolve();
    expect(await aborted).toMatchObject({ state: "done", result: "aborted", unblockedAtMs: expect.any(Number) });
    expect(bench.isSystemBlocked).toBe(false);
  });

  it("when it is aborted before its first prompt, and nothing of it goes on", async () => {
    const timers = bench.plane.clock.pendingTimers;
    const starting = bench.start(plan());
    while (bench.drills.running === null) await Promise.resolve();
    await bench.drills.abort(bench.drills.running.id, "aborted by ada");
    await starting;
    expect(bench.plane.clock.pendingTimers).toBe(timers);
    expect(bench.plane.opened).toEqual([]);
  });

  it("when the gateway is stopped", async () => {
    const { id } = await bench.start(plan());
    await bench.pass(15_000);
    await bench.drills.stop();
    expect(bench.plane.faults.isIdle).toBe(true);
    expect(await bench.kept(id)).toMatchObject({ result: "aborted", reason: "the gateway was stopped" });
  });

  it("before it began, when the gateway is stopped while the drill is written down", async () => {
    const write = () => bench.drills.stop();
    const record = await bench.drills.start(plan(), { startedBy: "ada", isForced: false, write });
    expect(record).toMatchObject({ result: "aborted", reason: "the gateway was stopped", synthetic: 0 });
    await bench.pass(15_000);
    expect(bench.plane.faults.isIdle).toBe(true);
    expect(bench.plane.opened).toEqual([]);
  });

  it("when the gateway was killed: the next start ends it, lifts a block by the system, and asks what was blocked", async () => {
    const { id } = await bench.start(plan({ block: "system" }));
    await bench.pass(15_000);
    const left = bench.rows.get(id);
    expect(parseDrill(left?.body ?? "")).toMatchObject({ state: "during", blockedAtMs: expect.any(Number) });
    // Another process over the same store.
    const next = new Drills(bench.parts());
    const scheduler = new DrillScheduler({
      ...bench.parts(),
      drills: next,
      plans: () => [plan({ block: "system", schedule: null })],
    });
    await scheduler.load();
    await scheduler.start();
    expect(bench.isSystemBlocked).toBe(false);
    expect(await bench.kept(id)).toMatchObject({
      result: "aborted",
      reason: expect.stringContaining("gateway was ended"),
    });
    await bench.drills.stop();
    bench.rows.set(id, { ...(bench.rows.get(id) as DrillRow) });
    await bench.pass(61_000, 61_000);
    await expect
      .poll(() => parseDrill(bench.rows.get(id)?.body ?? "")?.probes)
      .toEqual([{ target: CLOUD, ok: true, reason: null }]);
    scheduler.stop();
  });

  // A gateway without the right to change the firewall any more had no schedule from then on, and the drill ran for ever.
  it("for what a crash left, also where the system cannot be told to lift it", async () => {
    const { id } = await bench.start(plan({ block: "system" }));
    await bench.pass(15_000);
    const timers = bench.plane.clock.pendingTimers;
    const next = new Drills(bench.parts());
    bench.liftFails = true;
    await next.recover([plan({ block: "system" })]);
    expect(await bench.kept(id)).toMatchObject({ result: "aborted", unblockedAtMs: null });
    await next.stop();
    expect(bench.plane.clock.pendingTimers).toBe(timers);
  });
});

describe("the schedule", () => {
  const scheduled = () => plan({ schedule: "* * * * *" });

  it("is over when it is stopped, whatever it was about to start, and is not kept from beginning by what is damaged", async () => {
    bench.home.isAccepting = false;
    bench.settings.set("drills.firstSeen", Buffer.from("{"));
    const timers = bench.plane.clock.pendingTimers;
    const scheduler = new DrillScheduler({ ...bench.parts(), drills: bench.drills, plans: () => [scheduled()] });
    await scheduler.load();
    await scheduler.start();
    bench.plane.clock.advance(60_000);
    scheduler.stop();
    await expect.poll(() => bench.rows.size).toBe(1);
    await bench.settle();
    expect(bench.plane.clock.pendingTimers).toBe(timers);
  });

  it("runs a drill from its time to its report without a person", async () => {
    const scheduler = new DrillScheduler({ ...bench.parts(), drills: bench.drills, plans: () => [scheduled()] });
    await scheduler.load();
    await scheduler.start();
    const [state] = scheduler.states();
    expect(state?.nextAtMs).toBeGreaterThan(bench.plane.clock.nowMs());
    await bench.pass((state?.nextAtMs ?? 0) - bench.plane.clock.nowMs());
    await expect.poll(() => bench.drills.running?.startedBy).toBe("schedule");
    await bench.pass(101_000);
    const [row] = bench.rows.values();
    const record = await bench.kept(row?.id ?? "");
    expect(record).toMatchObject({ result: "passed", startedBy: "schedule", nextAtMs: expect.any(Number) });
    expect(bench.audit.map(({ action, actor }) => [action, actor.name])).toContainEqual(["drills.run", "schedule"]);
    expect(scheduler.states()[0]?.last).toMatchObject({ result: "passed" });
    scheduler.stop();
  });

  it("writes down that it could not start one, and why", async () => {
    bench.home.isAccepting = false;
    const scheduler = new DrillScheduler({ ...bench.parts(), drills: bench.drills, plans: () => [scheduled()] });
    await scheduler.load();
    await scheduler.start();
    await bench.pass(61_000);
    const record = parseDrill([...bench.rows.values()][0]?.body ?? "");
    expect(record).toMatchObject({ result: "refused", reason: expect.stringContaining("none is ready") });
    scheduler.stop();
  });

  it("knows what is overdue, over restarts too: a run that was refused or aborted does not count", async () => {
    const monthly = plan({ schedule: "monthly" });
    const start = async () => {
      const scheduler = new DrillScheduler({
        ...bench.parts(),
        drills: new Drills(bench.parts()),
        plans: () => [monthly],
      });
      await scheduler.load();
      await scheduler.start();
      scheduler.stop();
      return scheduler.states()[0]?.overdueSinceMs ?? null;
    };
    expect(await start()).toBeNull();
    bench.plane.clock.advance(40 * 86_400_000);
    expect(await start()).not.toBeNull();
    const whole = {
      id: randomBytes(4).toString("hex"),
      plan: monthly.name,
      startedAtMs: bench.plane.clock.nowMs(),
      endedAtMs: 1,
    };
    const body = (result: string) =>
      JSON.stringify({ ...parsed, id: whole.id, startedAtMs: whole.startedAtMs, result });
    const parsed = await bench.whole(plan());
    bench.rows.clear();
    bench.rows.set(whole.id, { ...whole, body: body("refused") });
    expect(await start()).not.toBeNull();
    bench.rows.set(whole.id, { ...whole, body: body("failed") });
    expect(await start()).toBeNull();
  });
});
