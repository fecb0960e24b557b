import type { AdminClient } from "../admin/client.ts";
import type { ModelView } from "../admin/contract-models.ts";

/** Between two looks at the catalogue, which is in the gateway's memory. */
const LOOK_AGAIN_MS = 100;
/** Models that are tried before giving the reason of the last one. */
const MAX_PROBES = 3;
/** A model that is not in memory yet: DESIGN's cold first token, with room for a large one. */
const PROBE_TIMEOUT_MS = 600_000;
/** Longest wait without any sign of a model, once nothing is being installed or loaded. */
export const QUIET_LIMIT_MS = 60_000;

/** What is known of the agent while a model is waited for. */
interface AgentSigns {
  /** Why there will be no model without somebody's doing; null while there may be one. */
  noModelReason(): string | null;
  /** Monotonic time of the last sign of life: progress, a change of state. */
  lastSignMs(): number;
}

export interface FirstModel {
  /** Public names, ready ones first. */
  models: string[];
  /** Null when the first of them has answered, or when all of them are at providers. */
  reason: string | null;
}

export interface FirstModelWait {
  admin: Pick<AdminClient, "listModels" | "probeModel">;
  agent: AgentSigns;
  nowMs(): number;
  pause(ms: number): Promise<void>;
  onProbe(model: string, isLoaded: boolean): void;
}

/**
 * Waits until a model of a node has answered, or until it is known why none will: the definition of "serves" for `postern up`.
 *
 * @returns models and the reason; does not reject for a model's sake.
 */
export async function waitForFirstModel({ admin, agent, nowMs, pause, onProbe }: FirstModelWait): Promise<FirstModel> {
  const failed = new Map<string, string>();
  for (;;) {
    const catalogue = await admin.listModels();
    const ready = catalogue.filter((model) => model.ready && model.source !== "offered").sort(easiestFirst);
    // A cloud is not tried: that would cost money, and it needs no time to load.
    const next = ready.find((model) => !failed.has(model.name) && isOnNode(model));
    const names = ready.map((model) => model.name);
    if (next !== undefined && failed.size < MAX_PROBES) {
      onProbe(next.name, isLoaded(next));
      const probe = await admin.probeModel({ model: next.name, timeoutMs: PROBE_TIMEOUT_MS });
      if (probe.ok) return { models: [next.name, ...names.filter((name) => name !== next.name)], reason: null };
      failed.set(next.name, probe.reason ?? "no reason given");
      continue;
    }
    if (failed.size > 0) {
      const [name, reason] = [...failed].at(-1) ?? ["", ""];
      return { models: names, reason: `"${name}" did not answer: ${reason}` };
    }
    const known = agent.noModelReason();
    const isQuiet = nowMs() - agent.lastSignMs() > QUIET_LIMIT_MS;
    if (names.length > 0 && (known !== null || isQuiet)) return { models: names, reason: null };
    if (known !== null) return { models: [], reason: known };
    if (isQuiet) return { models: [], reason: reasonOf(catalogue) };
    await pause(LOOK_AGAIN_MS);
  }
}

/** Loaded ones answer at once; among others the smallest is in memory first. */
function easiestFirst(a: ModelView, b: ModelView): number {
  return Number(isLoaded(b)) - Number(isLoaded(a)) || sizeOf(a) - sizeOf(b) || (a.name < b.name ? -1 : 1);
}

function isOnNode(model: ModelView): boolean {
  return model.targets.some((target) => target.node !== null && target.ready);
}

function isLoaded(model: ModelView): boolean {
  return model.targets.some((target) => target.loaded === true);
}

function sizeOf(model: ModelView): number {
  return Math.min(...model.targets.map((target) => target.sizeBytes ?? Number.MAX_SAFE_INTEGER));
}

function reasonOf(catalogue: readonly ModelView[]): string {
  const offered = catalogue.find((model) => model.source === "offered");
  if (offered !== undefined) {
    return `"${offered.name}" is offered but not granted to its node; \`postern nodes show\` says what it may serve`;
  }
  const reason = catalogue.flatMap((model) => model.targets).find((target) => target.reason !== null)?.reason;
  return reason ?? "no engine has reported a model; `postern nodes show` says what the agent sees";
}
