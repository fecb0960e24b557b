import { createCodecs } from "../dialects/codecs.ts";
import { DEFAULT_FIELD_POLICY, FIELDS_VERSION } from "../dialects/field-policy.ts";
import { OPERATIONS, OPERATIONS_VERSION, type Operation, operationById } from "../dialects/operations.ts";

/** Versions of the tables that the guard enforces, for the handshake. */
export const TABLES = { operations: OPERATIONS_VERSION, fields: FIELDS_VERSION };

const CODECS = createCodecs(DEFAULT_FIELD_POLICY);

/** Whether an operation is one that this program passes to engines: it goes to a target, and its bodies can be judged. */
export function isServed(id: string): boolean {
  const kind = operationById(id)?.kind;
  return (kind === "infer" || kind === "count") && CODECS.has(id);
}

/** Operations by the one path that each has on an engine. Nothing else is ever asked of one. */
export const SERVED_PATHS: ReadonlyMap<string, Operation> = new Map(
  OPERATIONS.filter((operation) => operation.method === "POST" && isServed(operation.id)).map((operation) => [
    operation.path,
    operation,
  ]),
);
