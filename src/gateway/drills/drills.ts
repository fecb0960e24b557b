import type { DrillNote, DrillStartOptions } from "../../admin/live-drills.ts";
import { type Check, checkStart, refusals } from "../../continuity/drill/checks.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { judgeProofs } from "../../continuity/drill/proofs.ts";
import { type DrillRecord, parseDrill } from "../../continuity/drill/record.ts";
import { PosternError } from "../../errors.ts";
import type { Timer } from "../../lib/clock.ts";
import type { RequestSummary } from "../../proxy/observer.ts";
import { probeBlocked } from "./collect-evidence.ts";
import { readFacts } from "./drill-facts.ts";
import type { DrillParts } from "./drill-parts.ts";
import { DrillRun } from "./drill-run.ts";
import { newRecord, toRow } from "./new-record.ts";
import type { SystemBlock } from "./system-block.ts";

/** How long after a start nodes are waited for, before what a crash left blocked is asked whether it answers. */
const PROBE_AFTER_MS = 60_000;
const STOPPED = "the gateway was stopped";

/** The drills of a running gateway: one at a time, started by people or by the schedule, and ended whatever happens. */
export class Drills {
  readonly #parts: DrillParts;
  #running: DrillRun | null = null;
  /** A start that is being checked and written. */
  #isStarting = false;
  #isStopped = false;
  /** One for each drill that a crash cut off. */
  readonly #probes: Timer[] = [];
  #onDone: (record: DrillRecord) => void = () => {};

  constructor(parts: DrillParts) {
    this.#parts = parts;
  }

  /** The one that runs, as it is now, or null. */
  get running(): DrillRecord | null {
    return this.#running?.view() ?? null;
  }

  /** Called with each drill that is over. */
  watch(onDone: (record: DrillRecord) => void): void {
    this.#onDone = onDone;
  }

  /** For the observer: a request is over. */
  seen(summary: RequestSummary): void {
    this.#running?.seen(summary);
  }

  breakerChanged(targetId: string, to: string): void {
    if (this.#running === null) return;
    for (const { id, backend } of this.#parts.targets())
      if (id === targetId) this.#running.breakerChanged(backend.label, to);
  }

  /**
   * Starts a drill.
   *
   * @returns its record. `refused` where a precondition is not met and it is the schedule that starts it.
   * @throws PosternError `drill_refused` with every reason, where a person starts it.
   */
  async start(plan: DrillPlan, { startedBy, isForced, write }: DrillStartOptions): Promise<DrillRecord> {
    const running = this.#running?.id ?? (this.#isStarting ? "that is being started" : null);
    // Before anything is waited for: of two that start at one time, one is refused.
    if (running === null) this.#isStarting = true;
    try {
      const checks = checkStart(plan, await readFacts(plan, this.#parts, running));
      refuseUnmet(plan, checks, isForced);
      const start = { id: this.#parts.newId(), startedBy, checks, isForced };
      const run = new DrillRun(plan, start, this.#parts);
      await write(toRow(run.view()));
      this.#running = run;
      void run.whenDone.then((record) => {
        this.#running = null;
        this.#onDone(record);
      });
      // The gateway may have been stopped while the record was written.
      if (this.#isStopped) return await run.abort(STOPPED);
      await run.start();
      return run.view();
    } finally {
      if (running === null) this.#isStarting = false;
    }
  }

  /** Writes down that the schedule could not start a plan, and why. */
  async refuse(plan: DrillPlan, reason: string, write: DrillStartOptions["write"]): Promise<DrillRecord> {
    const { newId, clock } = this.#parts;
    const nowMs = clock.nowMs();
    const record: DrillRecord = {
      ...newRecord(plan, { id: newId(), startedBy: "schedule", checks: [], isForced: false }, nowMs),
      state: "done",
      result: "refused",
      reason,
      endedAtMs: nowMs,
      timeline: [{ atMs: nowMs, text: "Not started" }],
    };
    await write(toRow(record));
    this.#onDone(record);
    return record;
  }

  /** Lifts the block at once. Null where no drill of that id runs. */
  abort(id: string, reason: string): Promise<DrillRecord> | null {
    return this.#running?.id === id ? this.#running.abort(reason) : null;
  }

  /** Adds to the drill that runs. False where none of that id does. */
  note(id: string, note: DrillNote): boolean {
    if (this.#running?.id !== id) return false;
    this.#running.note(note);
    return true;
  }

  /**
   * Ends what the last process left behind. A block in the gateway went with it; one by the system is lifted, if the kernel has not
   * done that yet.
   */
  async recover(plans: readonly DrillPlan[]): Promise<void> {
    const { store, clock, system, log } = this.#parts;
    for (const row of await store.drills.unfinished()) {
      const record = parseDrill(row.body);
      const nowMs = clock.nowMs();
      if (record === null) {
        await store.drills.put({ ...row, endedAtMs: nowMs });
        continue;
      }
      const isLifted = record.block !== "system" || nowMs >= record.deadlineMs || (await hasLifted(system));
      record.state = "done";
      record.result = "aborted";
      record.reason = "the gateway was ended while the drill ran";
      record.endedAtMs = nowMs;
      if (record.blockedAtMs !== null && isLifted) record.unblockedAtMs ??= Math.min(nowMs, record.deadlineMs);
      const block = isLifted ? "the block is lifted" : "the system could not be told to lift the block";
      record.timeline.push({ atMs: nowMs, text: `Ended by the next start of the gateway; ${block}` });
      record.proofs = judgeProofs(record);
      await store.drills.put(toRow(record));
      log.warn({ drill: record.id, plan: record.plan }, "a drill was cut off by the end of the gateway and is ended");
      this.#onDone(record);
      const plan = plans.find(({ name }) => name === record.plan);
      if (plan !== undefined && record.blockedAtMs !== null) this.#probeLater(plan, record);
    }
  }

  #probeLater(plan: DrillPlan, record: DrillRecord): void {
    const { store, clock, log } = this.#parts;
    const timer = clock.after(PROBE_AFTER_MS, () => {
      const probed = async (): Promise<void> => {
        const probes = await probeBlocked(plan, this.#parts);
        // Somebody may have judged or noted something meanwhile.
        const now = parseDrill((await store.drills.find(record.id))?.body ?? "") ?? record;
        const next = { ...now, probes };
        await store.drills.put(toRow({ ...next, proofs: judgeProofs(next) }));
      };
      probed().catch((error: unknown) =>
        log.warn({ drill: record.id, error: String(error) }, "probe after a drill failed"),
      );
    });
    this.#probes.push(timer);
  }

  /** The gateway goes down: the block goes first, and the report says so. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    for (const timer of this.#probes) timer.cancel();
    await this.#running?.abort(STOPPED);
  }
}

/** @throws PosternError `drill_refused` with every reason. */
function refuseUnmet(plan: DrillPlan, checks: readonly Check[], isForced: boolean): void {
  const reasons = refusals(checks, isForced);
  if (reasons.length === 0) return;
  throw new PosternError("drill_refused", {
    message: `The drill "${plan.name}" was not started. ${reasons.join(" ")}`,
    hint: checks.some(({ ok, isForceable }) => !ok && !isForceable)
      ? "Put that right first."
      : "Put that right, or start it all the same with --force.",
  });
}

/** The kernel lets go by itself when the time is over, so that a failure is told and ends nothing. */
function hasLifted(system: SystemBlock): Promise<boolean> {
  return system.lift().then(
    () => true,
    () => false,
  );
}
