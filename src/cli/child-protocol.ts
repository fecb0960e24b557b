import { z } from "zod";
import { ERRORS, type ErrorCode, PosternError, toPosternError } from "../errors.ts";

/** Set in the environment of the processes that `postern up` starts. */
export const SUPERVISED_VARIABLE = "POSTERN_SUPERVISED";

/** What a supervised process says to `postern up`, over the IPC channel. */
const fromChild = z.discriminatedUnion("type", [
  /** The gateway serves. */
  z.object({ type: z.literal("gateway-ready"), publicUrl: z.string(), adminUrl: z.string(), socketPath: z.string() }),
  /** The agent's process is up and waits to be told where the gateway is. */
  z.object({ type: z.literal("agent-waiting") }),
  /** The agent has not joined this gateway, or is not known to it any more: an `invitation` is needed. */
  z.object({ type: z.literal("agent-needs-invitation"), reason: z.string() }),
  /** The agent's state after each change. */
  z.object({
    type: z.literal("agent-state"),
    node: z.string().nullable(),
    isConnected: z.boolean(),
    /** Why there is no model and will not be one without somebody's doing; null while there is or may be. */
    noModelReason: z.string().nullable(),
  }),
  /** Something slow goes on: an install, a download, a model that loads. */
  z.object({
    type: z.literal("progress"),
    message: z.string(),
    done: z.number().nullable(),
    total: z.number().nullable(),
    unit: z.string().nullable(),
  }),
  /** The process could not start, or had to give up; it ends after this. */
  z.object({
    type: z.literal("failed"),
    code: z.string(),
    message: z.string(),
    hint: z.string().nullable(),
    /** Whether a restart may cure it. */
    isFinal: z.boolean(),
  }),
]);
export type ChildMessage = z.infer<typeof fromChild>;

/** What `postern up` says to a supervised process. */
const toChild = z.discriminatedUnion("type", [
  /** The gateway serves; `ownPorts` are its ports, which are no engines. */
  z.strictObject({ type: z.literal("dial"), gatewayUrl: z.string(), ownPorts: z.array(z.number()) }),
  z.strictObject({ type: z.literal("join"), code: z.string() }),
  /** Finish what runs, take nothing new, end. */
  z.strictObject({ type: z.literal("drain") }),
]);
export type ParentMessage = z.infer<typeof toChild>;

/** The message, or null when it is none of the protocol. */
export function readChildMessage(message: unknown): ChildMessage | null {
  return fromChild.safeParse(message).data ?? null;
}

/** The message, or null when it is none of the protocol. */
export function readParentMessage(message: unknown): ParentMessage | null {
  return toChild.safeParse(message).data ?? null;
}

/** A failure as it crosses the channel. Codes that a restart cannot cure are final. */
export function toFailedMessage(error: unknown): Extract<ChildMessage, { type: "failed" }> {
  const { code, message, hint } = toPosternError(error);
  return { type: "failed", code, message, hint: hint ?? null, isFinal: FINAL_CODES.has(code) };
}

/** The failure as it was in the other process. */
export function fromFailedMessage(message: Extract<ChildMessage, { type: "failed" }>): PosternError {
  const code = Object.hasOwn(ERRORS, message.code) ? (message.code as ErrorCode) : "internal";
  return new PosternError(code, { message: message.message, ...(message.hint === null ? {} : { hint: message.hint }) });
}

const FINAL_CODES: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "config_invalid",
  "usage",
  "listen_unsafe",
  "data_folder",
  "store_newer",
  "store_corrupt",
  "version_mismatch",
]);
