import type { DrillNote, DrillStartOptions } from "../../admin/live-drills.ts";
import { type Check, checkStart, refusals } from "../../continuity/drill/checks.ts";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { judgeProofs } from "../../continuity/drill/proofs.ts";
import { type DrillRecord, parseDrill } from "../../continuity/drill/record.ts";
import { PosternError } from "../../errors.ts";
import type { RequestSummary } from "../../proxy/observer.ts";
import { probeBlocked } from "./collect-evidence.ts";
import { readFacts } from "./drill-facts.ts";
import type { DrillParts } from "./drill-parts.ts";
import { DrillRun } from "./drill-run.ts";
import { newRecord, toRow } from "./new-record.ts";

/** How long after a start nodes are waited for, before what a crash left blocked is asked whether it answers. */
const PROBE_AFTER_MS = 60_000;

/** The drills of a running gateway: one at a time, started by people or by the schedule, and ended whatever happens. */
export class Drills {
  readonly #parts: DrillParts;
  #running: DrillRun | null = null;
  /** A start that is being checked and written. */
  #isStarting = false;
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

  /** What would keep a plan from starting now. */
  async check(plan: DrillPlan): Promise<Check[]> {
    const running = this.#running?.id ?? (this.#isStarting ? "that is being started" : null);
    return checkStart(plan, await readFacts(plan, this.#parts, running));
  }

  /**
   * Starts a drill.
   *
   * @returns its record. `refused` where a precondition is not met and it is the schedule that starts it.
   * @throws PosternError `drill_refused` with every reason, where a person starts it.
   */
  async start(plan: DrillPlan, { startedBy, isForced, write }: DrillStartOptions): Promise<DrillRecord> {
    const checks = await this.check(plan);
    const reasons = refusals(checks, isForced);
    if (reasons.length > 0) {
      throw new PosternError("drill_refused", {
        message: `The drill "${plan.name}" was not started. ${reasons.join(" ")}`,
        hint: checks.some(({ ok, isForceable }) => !ok && !isForceable)
          ? "Put that right first."
          : "Put that right, or start it all the same with --force.",
      });
    }
    this.#isStarting = true;
    try {
      const start = { id: this.#parts.newId(), startedBy, checks, isForced };
      const run = new DrillRun(plan, start, this.#parts);
      await write(toRow(run.view()));
      this.#running = run;
      void run.whenDone.then((record) => {
        this.#running = null;
        this.#onDone(record);
      });
      await run.start();
      return run.view();
    } finally {
      this.#isStarting = false;
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
      if (record.block === "system") await system.lift();
      record.state = "done";
      record.result = "aborted";
      record.reason = "the gateway was ended while the drill ran";
      record.endedAtMs = nowMs;
      if (record.blockedAtMs !== null) record.unblockedAtMs ??= Math.min(nowMs, record.deadlineMs);
      record.timeline.push({ atMs: nowMs, text: "Ended by the next start of the gateway; the block is lifted" });
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
    clock.after(PROBE_AFTER_MS, () => {
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
  }

  /** The gateway goes down: the block goes first, and the report says so. */
  async stop(): Promise<void> {
    await this.#running?.abort("the gateway was stopped");
  }
}
