import type { z } from "zod";
import { type DrillRecord, drillRecord } from "../continuity/drill/record.ts";
import { type Ask, type Input, SLOW_TIMEOUT_MS, searchOf } from "./ask.ts";
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
