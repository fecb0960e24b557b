import { FIELDS_VERSION } from "../dialects/field-policy.ts";
import { OPERATIONS_VERSION } from "../dialects/operations.ts";

/** Versions of the tables that the guard enforces, for the handshake. */
export const TABLES = { operations: OPERATIONS_VERSION, fields: FIELDS_VERSION };
