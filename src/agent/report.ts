import { FIELDS_VERSION } from "../dialects/field-policy.ts";
import { OPERATIONS_VERSION } from "../dialects/operations.ts";
import { CONTROL_LINE_LIMIT } from "../tunnel/constants.ts";
import type { EngineReport, NodeReport } from "../tunnel/link.ts";
import type { Hardware } from "./hardware.ts";

/** Largest report, with room for the envelope: a longer line would end the link. */
const MAX_REPORT_BYTES = CONTROL_LINE_LIMIT - 1024;

/**
 * Builds what the gateway is told of this node. It must fit into one line of the control stream: models at the end of the
 * longest lists are left out until it does.
 */
export function buildReport(agentVersion: string, hardware: Hardware, engines: readonly EngineReport[]): NodeReport {
  const report: NodeReport = {
    agentVersion,
    operationsVersion: OPERATIONS_VERSION,
    fieldsVersion: FIELDS_VERSION,
    hardware,
    engines: engines.map((engine) => ({ ...engine, models: [...engine.models] })),
  };
  while (Buffer.byteLength(JSON.stringify(report)) > MAX_REPORT_BYTES) {
    const longest = report.engines.reduce((most, one) => (one.models.length > most.models.length ? one : most));
    if (longest.models.length === 0) break;
    longest.models.length = Math.floor(longest.models.length / 2);
  }
  return report;
}
