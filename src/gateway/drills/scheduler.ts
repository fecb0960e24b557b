import type { Logger } from "pino";
import type { DrillPlan } from "../../continuity/drill/plan.ts";
import { type DrillRecord, parseDrill } from "../../continuity/drill/record.ts";
import { nextDrill, type PastDrill, type PlanState, planState } from "../../continuity/drill/schedule.ts";
import { PosternError, toPosternError } from "../../errors.ts";
import type { Clock, Timer } from "../../lib/clock.ts";
import type { DrillRow } from "../../storage/store.ts";
import type { DrillStores } from "./drill-parts.ts";
import type { Drills } from "./drills.ts";

/** Longest sleep: the wall clock may jump. */
const LOOK_AGAIN_MS = 60 * 60_000;
/** Drills of a plan that are remembered, for when it was last shown that all works. */
const MAX_PAST = 50;
/** Where a plan was first seen: before its first run it is overdue from then on. */
const SETTING = "drills.firstSeen";

export interface SchedulerParts {
  clock: Clock;
  log: Logger;
  store: Pick<DrillStores, "drills" | "settings" | "audited">;
  drills: Drills;
  /** Those of the configuration as it is now. */
  plans(): readonly DrillPlan[];
}

/** Starts drills when their plans say so, without a person, and knows which are overdue. */
export class DrillScheduler {
  readonly #parts: SchedulerParts;
  readonly #next = new Map<string, number>();
  /** Newest first. */
  readonly #past = new Map<string, PastDrill[]>();
  readonly #firstSeenMs = new Map<string, number>();
  #timer: Timer | null = null;
  #isStopped = false;

  constructor(parts: SchedulerParts) {
    this.#parts = parts;
    parts.drills.watch((record) => this.#remember(record));
  }

  /** Reads what there was. */
  async load(): Promise<void> {
    const { plans, store } = this.#parts;
    for (const { name } of plans()) {
      const past = (await store.drills.list(name, MAX_PAST)).map(({ body }) => parseDrill(body));
      const done = past.filter((one) => one !== null).filter(({ state }) => state === "done");
      this.#past.set(name, done.map(pastOf));
    }
    await this.#readFirstSeen();
  }

  /** Ends what the last process left, and begins to wait. */
  async start(): Promise<void> {
    const { plans, drills, clock } = this.#parts;
    await drills.recover(plans());
    for (const plan of plans()) this.#plan(plan, clock.nowMs());
    this.#arm();
  }

  /** Plans have come, gone or changed. */
  async replan(): Promise<void> {
    const { plans, clock } = this.#parts;
    await this.load();
    this.#next.clear();
    for (const plan of plans()) this.#plan(plan, clock.nowMs());
    this.#arm();
  }

  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  states(): PlanState[] {
    const nowMs = this.#parts.clock.nowMs();
    return this.#parts
      .plans()
      .map((plan) =>
        planState(plan, this.#past.get(plan.name) ?? [], this.#firstSeenMs.get(plan.name) ?? nowMs, nowMs),
      );
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#isStopped) return;
    const nowMs = this.#parts.clock.nowMs();
    const nextMs = Math.min(nowMs + LOOK_AGAIN_MS, ...this.#next.values());
    this.#timer = this.#parts.clock.after(Math.max(0, nextMs - nowMs), () => {
      void this.#startDue().finally(() => this.#arm());
    });
  }

  async #startDue(): Promise<void> {
    const { plans, clock, log } = this.#parts;
    const nowMs = clock.nowMs();
    for (const plan of plans()) {
      const atMs = this.#next.get(plan.name);
      if (atMs === undefined || atMs > nowMs) continue;
      this.#plan(plan, nowMs);
      try {
        await this.#run(plan);
      } catch (error) {
        log.error({ plan: plan.name, error: toPosternError(error).message }, "a scheduled drill could not be started");
      }
    }
  }

  async #run(plan: DrillPlan): Promise<void> {
    const { drills, store, clock, log } = this.#parts;
    const write = (row: DrillRow): Promise<void> => {
      const actor = { kind: "gateway", id: null, name: "schedule", address: null };
      const entry = { action: "drills.run", subject: `drill ${row.id}`, before: null, after: { plan: plan.name } };
      return store.audited({ atMs: clock.nowMs(), actor, ...entry }).drills.put(row);
    };
    try {
      const { id } = await drills.start(plan, { startedBy: "schedule", isForced: false, write });
      log.info({ drill: id, plan: plan.name }, "drill started by its schedule");
    } catch (error) {
      if (!(error instanceof PosternError) || error.code !== "drill_refused") throw error;
      log.warn({ plan: plan.name, reason: error.message }, "a scheduled drill was refused");
      await drills.refuse(plan, error.message, write);
    }
  }

  #plan(plan: DrillPlan, afterMs: number): void {
    const atMs = nextDrill(plan, afterMs);
    if (atMs === null) this.#next.delete(plan.name);
    else this.#next.set(plan.name, atMs);
  }

  #remember(record: DrillRecord): void {
    const past = this.#past.get(record.plan) ?? [];
    this.#past.set(record.plan, [pastOf(record), ...past].slice(0, MAX_PAST));
  }

  async #readFirstSeen(): Promise<void> {
    const { plans, store, clock } = this.#parts;
    const seen = readTimes(await store.settings.get(SETTING));
    for (const { name } of plans()) {
      const atMs = seen[name];
      this.#firstSeenMs.set(name, typeof atMs === "number" ? atMs : clock.nowMs());
    }
    if (plans().some(({ name }) => seen[name] === undefined))
      await store.settings.set(SETTING, Buffer.from(JSON.stringify(Object.fromEntries(this.#firstSeenMs))));
  }
}

/** Without its samples and series, which are most of it. */
function pastOf({ id, startedAtMs, result }: DrillRecord): PastDrill {
  return { id, startedAtMs, result };
}

/** What is damaged counts as never written. */
function readTimes(bytes: Uint8Array | null): Record<string, unknown> {
  if (bytes === null) return {};
  try {
    return { ...(JSON.parse(new TextDecoder().decode(bytes)) as object | null) };
  } catch {
    return {};
  }
}
