import { FIELDS_VERSION } from "../dialects/field-policy.ts";
import { OPERATIONS_VERSION } from "../dialects/operations.ts";
import { CONTROL_LINE_LIMIT } from "../tunnel/constants.ts";
import type { EngineReport, NodeReport } from "../tunnel/link.ts";
import type { Hardware } from "./hardware.ts";

/** Largest report, with room for the envelope: a longer line would end the link. */
const MAX_REPORT_BYTES = CONTROL_LINE_LIMIT - 1024;

/**
 * Builds what the gateway is told of this node. It must fit into one message of the control channel: models at the end of the
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
  const sizes = report.engines.map((engine) => Buffer.byteLength(JSON.stringify(engine)));
  let bytes = Buffer.byteLength(JSON.stringify(report));
  while (bytes > MAX_REPORT_BYTES) {
    const index = sizes.indexOf(Math.max(...sizes));
    const engine = report.engines[index];
    if (engine === undefined || engine.models.length === 0) break;
    engine.models.length = Math.floor(engine.models.length / 2);
    bytes -= sizes[index] ?? 0;
    sizes[index] = Buffer.byteLength(JSON.stringify(engine));
    bytes += sizes[index];
  }
  return report;
}
