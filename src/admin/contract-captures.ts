import { z } from "zod";
import { timestamp } from "./contract.ts";

const part = z.object({
  /** As text where it is UTF-8, else in base64. */
  encoding: z.enum(["utf8", "base64"]),
  content: z.string(),
  /** How long it was. */
  bytes: z.int(),
  /** Only its beginning was kept. */
  isCut: z.boolean(),
});

/** What a caller sent and got. Every reading of it is in the audit trail. */
export const captureView = z.object({
  id: z.string(),
  keyId: z.string(),
  operation: z.string(),
  model: z.string(),
  capturedAtMs: timestamp,
  /** From then on it is gone. */
  expiresAtMs: timestamp,
  /** Null: the key's policy did not say so. */
  request: part.nullable(),
  answer: part.nullable(),
});
export type CaptureView = z.infer<typeof captureView>;
