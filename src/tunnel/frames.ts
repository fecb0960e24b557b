import type { FailureKind, FailurePhase } from "../lib/exchange.ts";
import { CONTROL_LINE_LIMIT, DATA_FRAME_BYTES, HEADER_BYTES_LIMIT } from "./constants.ts";

/** Bytes before every payload: type and flags, length (3), stream (4), big-endian. SPEC "Frames". */
export const FRAME_HEAD_BYTES = 8;

/** What a frame is. SPEC "Frames" lists the same numbers; `spec.test.ts` keeps the two in step. */
export const FRAME = {
  /** Once, first, from each end: stream window and capacity. */
  settings: 1,
  /** Gateway: a new stream, with the head of its request. */
  open: 2,
  /** Agent: the head of the answer. */
  head: 3,
  /** A part of a body. */
  data: 4,
  /** The stream is given up, with the reason. */
  reset: 5,
  /** As many more bytes of body may be sent on the stream. */
  credit: 6,
  ping: 7,
  pong: 8,
  /** One message of the control channel. */
  control: 9,
} as const;

/** Set on the type of the frame that completes a body (`open`, `head` or `data`). */
export const LAST = 0x80;

export const SETTINGS_BYTES = 8;
export const CREDIT_BYTES = 4;
export const PING_BYTES = 8;
/** Kind, phase and at most this many bytes of explanation. */
export const RESET_DETAIL_LIMIT = 1024;

/** Slots of streams that a link has; the low bits of a stream's id are its slot, the others its generation there. */
export const STREAM_SLOTS = 8192;

/** Whether a frame of this type may have a payload of this length, on this stream. Null when it may, else what is wrong. */
export function checkFrame(typeAndFlags: number, length: number, id: number): string | null {
  const type = typeAndFlags & ~LAST;
  const isLast = typeAndFlags !== type;
  switch (type) {
    case FRAME.open:
    case FRAME.head:
      if (id === 0) return "a head outside of any stream";
      return length > HEADER_BYTES_LIMIT ? "a head above the size limit" : null;
    case FRAME.data:
      if (id === 0) return "data outside of any stream";
      if (length === 0 && !isLast) return "data without bytes";
      return length > DATA_FRAME_BYTES ? "data above the size limit" : null;
    case FRAME.reset:
      return isLast || id === 0 || length < 2 || length > 2 + RESET_DETAIL_LIMIT ? "a wrong reset" : null;
    case FRAME.credit:
      return isLast || id === 0 || length !== CREDIT_BYTES ? "a wrong credit" : null;
    case FRAME.settings:
      return isLast || id !== 0 || length !== SETTINGS_BYTES ? "wrong settings" : null;
    case FRAME.ping:
    case FRAME.pong:
      return isLast || id !== 0 || length !== PING_BYTES ? "a wrong ping" : null;
    case FRAME.control:
      return isLast || id !== 0 || length > CONTROL_LINE_LIMIT ? "a control message above the size limit" : null;
    default:
      return `an unknown frame (${type})`;
  }
}

/** Why a stream is given up: by the gateway `cancel`, by the agent the kind of its failure. Numbers on the wire. */
const RESET_CODE = {
  cancel: 0,
  unreachable: 1,
  refused: 2,
  reset: 3,
  cut: 4,
  timeout: 5,
  protocol: 6,
  denied: 7,
} as const satisfies Record<FailureKind | "cancel", number>;

const KIND_OF_CODE = new Map<number, FailureKind>(
  Object.entries(RESET_CODE)
    .filter(([name]) => name !== "cancel")
    .map(([name, code]) => [code, name as FailureKind]),
);

const PHASE_CODE = { connect: 1, request: 2, body: 3 } as const satisfies Record<FailurePhase, number>;

/** A reset as it was understood. */
export interface ResetReason {
  kind: FailureKind;
  /** Before the head: whether anything reached the engine. */
  phase: "connect" | "request";
  /** Printable ASCII, at most 300 characters; empty when the far side gave none. */
  detail: string;
}

/** Characters of the far side's explanation that reach our log. */
const DETAIL_LIMIT = 300;

/** The number of a reset. */
export function resetCode(kind: FailureKind | "cancel"): number {
  return RESET_CODE[kind];
}

/** The payload of a reset. `detail` is cut to `RESET_DETAIL_LIMIT` bytes. */
export function writeReset(kind: FailureKind | "cancel", phase: FailurePhase, detail: string): Buffer {
  const text = Buffer.from(detail, "utf8").subarray(0, RESET_DETAIL_LIMIT);
  return Buffer.concat([Buffer.from([RESET_CODE[kind], PHASE_CODE[phase]]), text]);
}

/** Reads the payload of a reset. An unknown kind is a plain reset; an unknown phase means that the engine may have the request. */
export function readReset(payload: Buffer): ResetReason {
  return {
    kind: KIND_OF_CODE.get(payload[0] ?? 0) ?? "reset",
    phase: payload[1] === PHASE_CODE.connect ? "connect" : "request",
    detail: payload
      .toString("utf8", 2)
      .replace(/[^\x20-\x7e]/g, "?")
      .slice(0, DETAIL_LIMIT),
  };
}
