import type { z } from "zod";
import { type DrillRecord, drillRecord } from "../continuity/drill/record.ts";
import type { AdminRequest } from "./client.ts";
import {
  type DrillPlanView,
  type DrillQuery,
  type DrillReport,
  type DrillSummary,
  type DrillWindows,
  drillList,
  drillPlanList,
  drillReport,
  drillWindows,
  type JudgeSampleInput,
  type NoteDrillInput,
  type startDrillInput,
} from "./contract-drills.ts";

/** One call of the admin contract. */
export type Ask = <Schema extends z.ZodType>(
  method: AdminRequest["method"],
  path: string,
  answer: Schema,
  body?: unknown,
  timeoutMs?: number,
) => Promise<z.output<Schema>>;

/** An input as whoever asks writes it: what has a default may be left out. */
export type Input<T> = { [Field in keyof T]?: T[Field] | undefined };

/** Added to what a probe or a backup takes by itself. */
export const SLOW_TIMEOUT_MS = 15 * 60_000;

/** The part of the admin contract about failover drills, from the asking side. As `AdminClient`. */
export class DrillClient {
  readonly #ask: Ask;

  constructor(ask: Ask) {
    this.#ask = ask;
  }

  async list(query: Partial<DrillQuery> = {}): Promise<DrillSummary[]> {
    return (await this.#ask("GET", `/drills${searchOf(query)}`, drillList)).drills;
  }

  start(input: z.input<typeof startDrillInput>): Promise<DrillRecord> {
    return this.#ask("POST", "/drills", drillRecord, input);
  }

  show(id: string): Promise<DrillRecord> {
    return this.#ask("GET", `/drills/${encodeURIComponent(id)}`, drillRecord);
  }

  report(id: string, format: DrillReport["format"]): Promise<DrillReport> {
    return this.#ask("GET", `/drills/${encodeURIComponent(id)}/report?format=${format}`, drillReport);
  }

  abort(id: string): Promise<DrillRecord> {
    return this.#ask("POST", `/drills/${encodeURIComponent(id)}/abort`, drillRecord, undefined, SLOW_TIMEOUT_MS);
  }

  judge(id: string, input: Pick<JudgeSampleInput, "sample" | "ok"> & Input<JudgeSampleInput>): Promise<DrillRecord> {
    return this.#ask("POST", `/drills/${encodeURIComponent(id)}/judge`, drillRecord, input);
  }

  note(id: string, input: Pick<NoteDrillInput, "text"> & Input<NoteDrillInput>): Promise<DrillRecord> {
    return this.#ask("POST", `/drills/${encodeURIComponent(id)}/notes`, drillRecord, input);
  }

  async plans(): Promise<DrillPlanView[]> {
    return (await this.#ask("GET", "/drill-plans", drillPlanList)).plans;
  }

  windows(hours: number): Promise<DrillWindows> {
    return this.#ask("GET", `/drill-windows?hours=${hours}`, drillWindows);
  }
}

/** The query of a path, those without a value left out. */
export function searchOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}
