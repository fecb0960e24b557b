import type { DrillNote } from "../../admin/live-drills.ts";
import { coversLabel, DrillMeasure } from "../../continuity/drill/measure.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { judgeProofs, resultOf } from "../../continuity/drill/proofs.ts";
import {
  type DrillRecord,
  type DrillSample,
  MAX_NOTES,
  MAX_SAMPLES,
  MAX_TIMELINE,
} from "../../continuity/drill/record.ts";
import { nextDrill } from "../../continuity/drill/schedule.ts";
import { inSeconds } from "../../continuity/drill/words.ts";
import type { Timer } from "../../lib/clock.ts";
import type { Injection } from "../../proxy/fault-injector.ts";
import type { RequestSummary } from "../../proxy/observer.ts";
import { collectEvidence } from "./collect-evidence.ts";
import { DrillKeys } from "./drill-keys.ts";
import type { DrillParts } from "./drill-parts.ts";
import { type DrillStart, newRecord, toRow } from "./new-record.ts";
import { readSummary } from "./read-summary.ts";
import { type PromptAnswer, SyntheticTraffic } from "./synthetic-traffic.ts";

/** How often it looks whether it must stop, and writes down how far it is. */
const TICK_MS = 5_000;
/** How long what has come back is watched for a relapse. */
const WATCH_MS = 60_000;
/** Added to what all phases take together: until then its keys work. */
const SPARE_MS = 5 * 60_000;

/**
 * One drill from its first prompt to its report: measures, blocks, lifts the block, watches the recovery, and judges.
 *
 * The block has three ends that do not depend on each other: this state machine, a deadline inside the injector (or the kernel's own
 * timeout for a block by the system), and the end of the process. None of them can be talked out of it.
 */
export class DrillRun {
  readonly plan: DrillPlan;
  /** Resolves when the report is written. Never rejects. */
  readonly whenDone: Promise<DrillRecord>;
  readonly #parts: DrillParts;
  readonly #measure: DrillMeasure;
  readonly #keys: DrillKeys;
  readonly #traffic: SyntheticTraffic;
  readonly #record: DrillRecord;
  #injection: Injection | null = null;
  #phaseTimer: Timer | null = null;
  #ticker: Timer | null = null;
  #hasRecovered = false;
  #isEnding = false;
  /** Settled when the block is up, or cannot be. Null before its time. */
  #blocking: Promise<void> | null = null;
  /** Settled when the block is lifted; by the system: when it has let go, or said why not. Null while there is nothing to lift. */
  #lifting: Promise<void> | null = null;
  readonly #isForced: boolean;
  #done: (record: DrillRecord) => void = () => {};

  constructor(plan: DrillPlan, start: DrillStart, parts: DrillParts) {
    const { id } = start;
    const nowMs = parts.clock.nowMs();
    const wholeMs = plan.beforeMs + plan.durationMs + plan.afterMs;
    this.plan = plan;
    this.#isForced = start.isForced;
    this.#parts = parts;
    this.#measure = new DrillMeasure(plan, nowMs);
    this.#keys = new DrillKeys(parts.keyring, plan, id, nowMs, nowMs + wholeMs + SPARE_MS);
    this.#traffic = new SyntheticTraffic(plan, {
      clock: parts.clock,
      places: parts.places,
      keys: this.#keys,
      handle: parts.handle,
      onAnswer: (answer) => this.#keepSample(answer),
    });
    this.#record = newRecord(plan, start, nowMs);
    this.whenDone = new Promise((resolve) => {
      this.#done = resolve;
    });
  }

  get id(): string {
    return this.#record.id;
  }

  /** Everything as it is now. */
  view(): DrillRecord {
    const measure = this.#measure;
    return {
      ...this.#record,
      synthetic: this.#traffic.sent,
      injected: this.#injection?.counts.injected ?? measure.met,
      figures: measure.figures(),
      workflows: measure.workflows(),
      series: measure.series(),
      times: measure.times(),
      leaks: Math.max(this.#record.leaks, measure.leaks),
    };
  }

  async start(): Promise<void> {
    this.#say(`Started by ${this.#record.startedBy}`);
    try {
      await this.#traffic.start();
    } catch (error) {
      return this.#end("aborted", `its prompts could not be sent: ${inWords(error)}`);
    }
    if (this.#isEnding) return;
    this.#phaseTimer = this.#parts.clock.after(this.plan.beforeMs, () => {
      this.#blocking = this.#block();
    });
    this.#tick();
  }

  /** Takes in a request that is over. */
  seen(summary: RequestSummary): void {
    if (this.#record.state === "done") return;
    const request = readSummary(summary, this.#parts.keyring, this.#parts.clock.nowMs());
    if (request === null) return;
    this.#measure.request(request);
    if (this.#record.state === "after") this.#lookForRecovery();
  }

  /** The breaker of a target has opened or closed. */
  breakerChanged(label: string, to: string): void {
    if (!coversLabel(this.plan.scope, label)) return;
    this.#say(`The breaker of ${label} is ${to}`);
    if (to === "open") this.#measure.opened(label, this.#parts.clock.nowMs());
  }

  note({ by, text, action }: DrillNote): void {
    const { notes, actions } = this.#record;
    if (notes.length + actions.length >= MAX_NOTES) return;
    const atMs = this.#parts.clock.nowMs();
    if (action === null) notes.push({ atMs, by, text });
    else actions.push({ atMs, by, text, ...action });
  }

  /** Lifts the block at once and writes the report of what there is. */
  abort(reason: string): Promise<DrillRecord> {
    this.#end("aborted", reason);
    return this.whenDone;
  }

  async #block(): Promise<void> {
    const { plan } = this;
    const { clock, faults, system, urls } = this.#parts;
    if (this.#isEnding) return;
    const record = this.#record;
    try {
      if (plan.block === "system") {
        const addresses = await system.block(urlsOf(plan, urls), plan.durationMs, this.#isForced);
        this.#say(`The system blocks ${addresses.join(", ")}`);
      } else {
        this.#injection = faults.inject(
          { kind: plan.fault, scope: plan.scope, delayMs: plan.delayMs },
          plan.durationMs,
        );
      }
    } catch (error) {
      return this.#end("aborted", `the block could not be set up: ${inWords(error)}`);
    }
    const nowMs = clock.nowMs();
    record.state = "during";
    record.blockedAtMs = nowMs;
    record.deadlineMs = nowMs + plan.durationMs;
    this.#measure.blocked(nowMs);
    this.#say(`Blocked for at most ${inSeconds(plan.durationMs)}`);
    // It was ended while the system put the block up.
    if (this.#isEnding) return this.#lift();
    this.#phaseTimer = clock.after(plan.durationMs, () => this.#unblock());
    this.#keep();
  }

  #unblock(): void {
    if (this.#isEnding) return;
    this.#lift();
    this.#record.state = "after";
    this.#phaseTimer = this.#parts.clock.after(this.plan.afterMs, () => this.#end(null, null));
    this.#keep();
    if (this.plan.afterMs === 0) this.#end(null, null);
  }

  /** The block ends here, before anything that may fail or wait. */
  #lift(): void {
    const record = this.#record;
    this.#phaseTimer?.cancel();
    this.#injection?.stop();
    if (record.blockedAtMs === null || this.#lifting !== null) return;
    this.#lifting = this.plan.block === "system" ? this.#liftSystem() : Promise.resolve();
    const nowMs = this.#parts.clock.nowMs();
    record.unblockedAtMs = nowMs;
    this.#measure.unblocked(nowMs);
    this.#say("The block is lifted");
  }

  /** Tries once more after a failure. The kernel lets go by itself when the time is over; a report that says otherwise is to be believed. */
  async #liftSystem(): Promise<void> {
    const { system } = this.#parts;
    await system
      .lift()
      .catch(() => system.lift())
      .catch((error: unknown) => {
        this.#record.unblockedAtMs = null;
        this.#say(`The system still blocks: ${inWords(error)}`);
      });
  }

  #lookForRecovery(): void {
    if (this.#hasRecovered || this.#measure.recoveries < this.plan.recoveries) return;
    this.#hasRecovered = true;
    this.#say("What was blocked answers again");
    this.#phaseTimer?.cancel();
    const watchMs = Math.min(WATCH_MS, this.plan.afterMs / 2);
    this.#phaseTimer = this.#parts.clock.after(watchMs, () => this.#end(null, null));
  }

  #tick(): void {
    this.#ticker = this.#parts.clock.after(TICK_MS, () => {
      const reason = this.#record.state === "during" ? this.#measure.stopReason() : null;
      if (reason !== null) return this.#end("failed", reason);
      this.#keep();
      this.#tick();
    });
  }

  /** Once, whatever ended it. @param result Null: what the proofs come to. */
  #end(result: "failed" | "aborted" | null, reason: string | null): void {
    if (this.#isEnding) return;
    this.#isEnding = true;
    this.#lift();
    this.#ticker?.cancel();
    this.#traffic.stop();
    if (reason !== null) this.#say(`Ended early: ${reason}`);
    this.#record.reason = reason;
    this.#report(result).then(
      () => this.#done(this.#record),
      (error: unknown) => {
        this.#parts.log.error({ drill: this.id, error: inWords(error) }, "the report of a drill could not be written");
        this.#done(this.#record);
      },
    );
  }

  async #report(result: "failed" | "aborted" | null): Promise<void> {
    const { store, clock } = this.#parts;
    const record = this.#record;
    await this.#blocking;
    await this.#lifting;
    Object.assign(record, await collectEvidence(this.plan, record, this.#parts, (trouble) => this.#say(trouble)));
    Object.assign(record, this.view());
    this.#keys.forget();
    record.endedAtMs = clock.nowMs();
    record.nextAtMs = nextDrill(this.plan, record.endedAtMs);
    record.result = result;
    record.proofs = judgeProofs(record);
    record.result = result ?? resultOf(record.proofs);
    record.state = "done";
    this.#say(`Ended: ${record.result}`);
    const after = { plan: record.plan, result: record.result, reason: record.reason };
    const entry = { action: "drills.end", subject: `drill ${record.id}`, before: null, after };
    const actor = { kind: "gateway", id: null, name: "drill", address: null };
    await store.audited({ atMs: record.endedAtMs, actor, ...entry }).drills.put(toRow(record));
  }

  #keepSample({ prompt, sentAtMs, durationMs, text, servedBy, isWhole }: PromptAnswer): void {
    const { samples, state, blockedAtMs } = this.#record;
    const phase = blockedAtMs === null || sentAtMs < blockedAtMs ? "before" : "during";
    if (state === "after" || state === "done" || !isWhole || samples.length >= MAX_SAMPLES) return;
    const isThere = (one: DrillSample): boolean =>
      one.phase === phase &&
      one.prompt === prompt.text &&
      one.model === prompt.model &&
      one.workflow === prompt.workflow;
    if (samples.some(isThere)) return;
    samples.push({
      number: samples.length + 1,
      phase,
      workflow: prompt.workflow,
      model: prompt.model,
      prompt: prompt.text,
      answer: text,
      servedBy,
      durationMs,
      expected: prompt.expect === null ? null : text.toLowerCase().includes(prompt.expect.toLowerCase()),
      judgement: null,
    });
  }

  #say(text: string): void {
    const { timeline } = this.#record;
    if (timeline.length < MAX_TIMELINE) timeline.push({ atMs: this.#parts.clock.nowMs(), text });
  }

  /** Writes down how far it is; what comes after a crash begins there. */
  #keep(): void {
    this.#parts.store.drills.put(toRow(this.view())).catch((error: unknown) => {
      this.#parts.log.warn({ drill: this.id, error: inWords(error) }, "the state of a drill was not written");
    });
  }
}

/** Where what the plan blocks is reached. */
function urlsOf({ scope }: DrillPlan, urls: DrillParts["urls"]): string[] {
  return [...urls].flatMap(([label, url]) => (coversLabel(scope, label) ? [url] : []));
}

function inWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
