import type { DrillPlan } from "./plan.ts";
import { isInWindow } from "./window.ts";
import { inUtc } from "./words.ts";

/** What must be known before a drill may start. */
export interface CheckFacts {
  nowMs: number;
  /** The drill that runs, or null. */
  running: string | null;
  /** Why providers are skipped already, or null. */
  contingency: string | null;
  /** What the drill blocks. */
  blocked: ReadonlyArray<{ label: string; isReady: boolean }>;
  /** The models that it is about, with what else could answer them. */
  models: ReadonlyArray<{ name: string; others: ReadonlyArray<{ label: string; isReady: boolean }> }>;
  /** Names of models and workflows of the plan's prompts that there are not. */
  unknownModels: readonly string[];
  unknownWorkflows: readonly string[];
  /** Why records cannot be kept, or null. */
  storeTrouble: string | null;
  /** Why the operating system cannot be told to block, or null; not looked at for a block in the gateway. */
  systemTrouble: string | null;
}

/** One precondition. */
export interface Check {
  ok: boolean;
  /** What is true, good or bad. */
  text: string;
  /** Whether an operator may start all the same. */
  isForceable: boolean;
}

/** The preconditions of a drill, each with what was found. Pure. */
export function checkStart(plan: DrillPlan, facts: CheckFacts): Check[] {
  const { nowMs, running, contingency, blocked, models } = facts;
  const checks: Check[] = [
    running === null
      ? good("No other drill runs.")
      : { ok: false, text: `The drill ${running} runs already.`, isForceable: false },
    facts.storeTrouble === null
      ? good("Records are kept.")
      : { ok: false, text: `Records cannot be kept: ${facts.storeTrouble}`, isForceable: false },
    contingency === null ? good("Contingency is off.") : bad(`Contingency is on already: ${contingency}.`),
  ];
  if (plan.window !== null) {
    checks.push(
      isInWindow(plan.window, nowMs)
        ? good(`It is in the plan's window (${inUtc(nowMs)}).`)
        : bad(`It is outside the plan's window (${inUtc(nowMs)}).`),
    );
  }
  if (blocked.length === 0) {
    checks.push({
      ok: false,
      text: "Nothing fits the plan's scope, so there is nothing to block.",
      isForceable: false,
    });
  }
  for (const { label, isReady } of blocked)
    checks.push(isReady ? good(`${label} is well.`) : bad(`${label} is away already, so blocking it shows nothing.`));
  for (const { name, others } of models) {
    const ready = others.filter(({ isReady }) => isReady);
    if (ready.length > 0)
      checks.push(good(`${name} can be answered by ${ready.map(({ label }) => label).join(", ")}.`));
    else if (others.length > 0)
      checks.push(bad(`${name}: ${others.map(({ label }) => label).join(", ")} could answer, and none is ready.`));
    else checks.push(bad(`${name}: nothing else could answer it.`));
  }
  for (const model of facts.unknownModels)
    checks.push({
      ok: false,
      text: `There is no model "${model}", which a prompt of the plan asks.`,
      isForceable: false,
    });
  for (const workflow of facts.unknownWorkflows)
    checks.push({
      ok: false,
      text: `No working key belongs to the workflow "${workflow}" of a prompt.`,
      isForceable: false,
    });
  if (plan.block === "system") {
    checks.push(
      facts.systemTrouble === null
        ? good("The operating system can be told to block.")
        : {
            ok: false,
            text: `The operating system cannot be told to block: ${facts.systemTrouble}`,
            isForceable: false,
          },
    );
  }
  return checks;
}

/** What keeps it from starting; empty when nothing does. */
export function refusals(checks: readonly Check[], isForced: boolean): string[] {
  return checks.filter(({ ok, isForceable }) => !ok && !(isForced && isForceable)).map(({ text }) => text);
}

function good(text: string): Check {
  return { ok: true, text, isForceable: true };
}

function bad(text: string): Check {
  return { ok: false, text, isForceable: true };
}
