import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import type { DrillClient } from "../admin/client-drills.ts";
import { startDrillInput } from "../admin/contract-drills.ts";
import { readYaml } from "../config/yaml-source.ts";
import type { DrillRecord } from "../continuity/drill/record.ts";
import { inSeconds } from "../continuity/drill/words.ts";
import { usageError } from "./invocation.ts";
import type { Output } from "./output.ts";
import { Progress } from "./progress.ts";

/** How often a running drill is asked how it goes. */
const LOOK_EVERY_MS = 1_000;

const STEPS = {
  before: "Measuring before the block",
  during: "Blocked",
  after: "The block is lifted; waiting for normal service",
  done: "Done",
} as const;

type Started = Pick<z.input<typeof startDrillInput>, "plan" | "inline">;

/**
 * A plan from a file: what would stand under a name in `continuity.drills`, with the file's own name.
 *
 * @throws PosternError `usage`.
 */
export function readPlanFile(file: string): Started {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw usageError(`${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? "unknown reason"})`);
  }
  const source = readYaml(text, file);
  if ("faults" in source) throw usageError(`${file} is not YAML: ${source.faults[0]?.rule ?? "unreadable"}`);
  const plan = basename(file)
    .replace(/\.ya?ml$/, "")
    .toLowerCase();
  const read = startDrillInput.safeParse({ plan, inline: source.data });
  if (!read.success) {
    const faults = read.error.issues.map(({ path, message }) =>
      [path.slice(1).map(String).join("."), message].filter((part) => part !== "").join(": "),
    );
    throw usageError(`${file} is not a plan. ${faults.join(". ")}`, "docs/guide/drills.md has one to start from.");
  }
  // As written: the gateway reads durations itself.
  return { plan, inline: source.data as NonNullable<Started["inline"]> };
}

/** Shows how a drill goes until it is over. Ctrl-C lifts the block and ends it. */
export async function followDrill(drills: DrillClient, started: DrillRecord, output: Output): Promise<DrillRecord> {
  const progress = new Progress();
  const ending = new AbortController();
  const onInterrupt = (): void => ending.abort();
  process.once("SIGINT", onInterrupt);
  process.once("SIGTERM", onInterrupt);
  try {
    for (;;) {
      const record = await drills.show(started.id);
      if (record.state === "done") return record;
      progress.update(STEPS[record.state], measureOf(record, Date.now()));
      await sleep(LOOK_EVERY_MS, undefined, { signal: ending.signal }).catch(() => {});
      if (!ending.signal.aborted) continue;
      progress.clear();
      output.note("Ending the drill: the block is lifted now.", "yellow");
      return await drills.abort(started.id);
    }
  } finally {
    process.off("SIGINT", onInterrupt);
    process.off("SIGTERM", onInterrupt);
    progress.clear();
  }
}

function measureOf({ state, figures, deadlineMs }: DrillRecord, nowMs: number): string {
  const { requests, errors } = state === "done" ? figures.after : figures[state];
  const left =
    state === "during" ? `, ${inSeconds(Math.max(0, Math.round((deadlineMs - nowMs) / 1000) * 1000))} left` : "";
  return `${requests} requests, ${errors} without a good answer${left}`;
}
