import { resolveDrill } from "../config/resolve-drills.ts";
import type { DrillPlan } from "../continuity/drill/plan.ts";
import { judgeProofs, resultOf } from "../continuity/drill/proofs.ts";
import { type DrillRecord, MAX_NOTES, parseDrill } from "../continuity/drill/record.ts";
import { renderHtml } from "../continuity/drill/report/html.ts";
import { renderMarkdown } from "../continuity/drill/report/markdown.ts";
import { type PlanState, planState } from "../continuity/drill/schedule.ts";
import { findQuietWindows } from "../continuity/drill/window.ts";
import { PosternError } from "../errors.ts";
import { actorOf, labelOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { DrillPlanView } from "./contract-drills.ts";
import type { CallParts } from "./create-context.ts";

type DrillMethods = Pick<
  AdminContext,
  | "listDrills"
  | "startDrill"
  | "showDrill"
  | "drillReport"
  | "abortDrill"
  | "judgeDrill"
  | "noteDrill"
  | "drillPlans"
  | "drillWindows"
>;

const WINDOW_DAYS = 28;
/** Quiet parts of the week that are shown. */
const WINDOWS = 3;
const DAY_MS = 86_400_000;

/** Failover drills: a running gateway runs them, the store has those of before. */
export function createDrillAdmin({ store, clock, config, live, caller, changing }: CallParts): DrillMethods {
  const by = labelOf(caller);

  async function find(id: string): Promise<DrillRecord> {
    const running = live?.drills().running ?? null;
    if (running?.id === id) return running;
    const record = parseDrill((await store.drills.find(id))?.body ?? "");
    if (record !== null) return record;
    throw new PosternError("not_found", {
      message: `There is no drill with the id "${id}"`,
      hint: "`postern drill list` shows them.",
    });
  }

  /** What changes a drill that runs, and so nothing in the store yet. */
  function note(action: string, id: string, after: unknown): Promise<void> {
    const entry = { action, subject: `drill ${id}`, before: null, after };
    return store.audit.append({ atMs: clock.nowMs(), actor: actorOf(caller), ...entry });
  }

  /** Writes a drill of before down again, with the entry about the change. */
  async function change(action: string, record: DrillRecord, after: unknown): Promise<DrillRecord> {
    const proofs = judgeProofs(record);
    const isWhole = record.result === "passed" || record.result === "failed";
    // One that ended early for its stop condition stays failed, however good its answers are.
    const result = isWhole && record.reason === null ? resultOf(proofs) : record.result;
    const next = { ...record, proofs, result };
    const { id, plan, startedAtMs, endedAtMs } = next;
    await changing({ action, subject: `drill ${id}`, before: null, after }).drills.put({
      id,
      plan,
      startedAtMs,
      endedAtMs,
      body: JSON.stringify(next),
    });
    return next;
  }

  function planOf(name: string): DrillPlan {
    const found = config.continuity.drills.find((one) => one.name === name);
    if (found !== undefined) return found;
    const names = config.continuity.drills.map((one) => one.name);
    throw new PosternError("not_found", {
      message: `There is no drill plan "${name}"`,
      hint:
        names.length === 0
          ? "Plans stand under continuity.drills in postern.yaml, or in a file: postern drill run --file PLAN.yaml."
          : `Plans: ${names.join(", ")}.`,
    });
  }

  async function states(): Promise<PlanState[]> {
    if (live !== null) return live.drills().states();
    const nowMs = clock.nowMs();
    return Promise.all(
      config.continuity.drills.map(async (plan) => {
        const past = (await store.drills.list(plan.name, 20)).map(({ body }) => parseDrill(body));
        return planState(
          plan,
          past.filter((one) => one !== null),
          nowMs,
          nowMs,
        );
      }),
    );
  }

  return {
    async listDrills({ plan, limit }) {
      const running = live?.drills().running ?? null;
      const rows = await store.drills.list(plan ?? null, limit);
      return rows.flatMap(({ id, body }) => {
        const record = running?.id === id ? running : parseDrill(body);
        return record === null ? [] : [record];
      });
    },
    async startDrill({ plan: name, inline, duration, fault, force }) {
      const planned = inline === undefined ? planOf(name) : resolveDrill(name, inline);
      const plan = { ...planned, durationMs: duration ?? planned.durationMs, fault: fault ?? planned.fault };
      const after = { plan: name, fault: plan.fault, durationMs: plan.durationMs, scope: plan.scope, forced: force };
      return (live ?? needsGateway()).drills().start(plan, {
        startedBy: by,
        isForced: force,
        write: (row) =>
          changing({ action: "drills.run", subject: `drill ${row.id}`, before: null, after }).drills.put(row),
      });
    },
    showDrill: find,
    async drillReport(id, format) {
      const record = await find(id);
      return { format, text: format === "html" ? renderHtml(record) : renderMarkdown(record) };
    },
    async abortDrill(id) {
      const record = await find(id);
      const ending = (live ?? needsGateway()).drills().abort(id, `ended by ${by}`);
      if (ending === null) {
        throw new PosternError("invalid_input", {
          message: `The drill ${id} is over (${record.result ?? "unknown"})`,
          hint: "`postern drill show` shows its report.",
        });
      }
      // The block is gone by now; what is left is to write that down.
      await note("drills.abort", id, null);
      return ending;
    },
    async judgeDrill(id, { sample: number, ok, note }) {
      const record = await find(id);
      if (record.state !== "done") {
        throw new PosternError("invalid_input", {
          message: "The drill still runs; its answers can be judged afterwards",
        });
      }
      const sample = record.samples.find((one) => one.number === number);
      if (sample === undefined) {
        throw new PosternError("not_found", {
          message: `The drill has no answer ${number}`,
          hint: record.samples.length === 0 ? "It kept none." : `It has 1 to ${record.samples.length}.`,
        });
      }
      sample.judgement = { ok, note, by, atMs: clock.nowMs() };
      return change("drills.judge", record, { sample: number, ok, note });
    },
    async noteDrill(id, { text, action }) {
      const after = { text, action };
      const record = await find(id);
      const atMs = clock.nowMs();
      if (record.notes.length + record.actions.length >= MAX_NOTES) {
        throw new PosternError("invalid_input", { message: `A drill has at most ${MAX_NOTES} notes and actions` });
      }
      if (record.state !== "done" && live !== null) {
        const isTaken = live.drills().note(id, { by, text, action });
        if (isTaken) {
          await note("drills.note", id, after);
          return find(id);
        }
      }
      if (action === null) record.notes.push({ atMs, by, text });
      else record.actions.push({ atMs, by, text, ...action });
      return change("drills.note", record, after);
    },
    async drillPlans() {
      return (await states()).map(toPlanView);
    },
    async drillWindows(hours) {
      const perHour = await store.usage.perHourOfWeek(clock.nowMs() - WINDOW_DAYS * DAY_MS);
      const windows = findQuietWindows(perHour, hours, WINDOWS);
      return { days: WINDOW_DAYS, requests: perHour.reduce((sum, one) => sum + one, 0), windows };
    },
  };
}

function toPlanView({ plan, nextAtMs, last, overdueSinceMs }: PlanState): DrillPlanView {
  const { name, fault, owner, durationMs, schedule } = plan;
  return { name, fault, owner, durationMs, schedule, nextAtMs, last, overdueSinceMs };
}

function needsGateway(): never {
  throw new PosternError("gateway_unreachable", {
    message: "Only a running gateway can run drills, and none runs on this data folder",
    hint: "Start it with `postern up` or `postern gateway`.",
  });
}
