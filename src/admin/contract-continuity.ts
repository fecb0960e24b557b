import { z } from "zod";
import { configName, contingencyScope, label } from "./contract.ts";

/** The part of the contract about what happens when providers or nodes are away. */

const LONGEST_ORDER_MS = 365 * 24 * 3600 * 1000;

export type ContingencyScopeView = z.infer<typeof contingencyScope>;

/** Whatever is not named is normal. */
export const contingencyView = z.object({ scopes: z.array(contingencyScope) });
export type ContingencyView = z.infer<typeof contingencyView>;

export const contingencyOnInput = z.strictObject({
  /** Null: everything. */
  workflow: configName.nullable().default(null),
  reason: label,
  /** Null: until somebody ends it. */
  forMs: z.int().min(1000).max(LONGEST_ORDER_MS).nullable().default(null),
});
export type ContingencyOnInput = z.infer<typeof contingencyOnInput>;

export const contingencyOffInput = z.strictObject({
  workflow: configName.nullable().default(null),
  /** All requests may use providers at once, instead of a growing share. */
  isAtOnce: z.boolean().default(false),
});
export type ContingencyOffInput = z.infer<typeof contingencyOffInput>;

export const contingencyOff = contingencyView.extend({
  /** False: nothing was on in that scope. */
  wasOn: z.boolean(),
});
export type ContingencyOff = z.infer<typeof contingencyOff>;
