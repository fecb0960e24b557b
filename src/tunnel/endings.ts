import { constants } from "node:http2";
import type { FailureKind, FailurePhase } from "../lib/exchange.ts";

/** How the agent resets a stream whose answer it cannot finish. SPEC "Endings". */
const CODE_OF_KIND: Readonly<Record<FailureKind, number>> = {
  unreachable: constants.NGHTTP2_INTERNAL_ERROR,
  refused: constants.NGHTTP2_REFUSED_STREAM,
  reset: constants.NGHTTP2_INTERNAL_ERROR,
  cut: constants.NGHTTP2_CONNECT_ERROR,
  timeout: constants.NGHTTP2_SETTINGS_TIMEOUT,
  protocol: constants.NGHTTP2_PROTOCOL_ERROR,
  denied: constants.NGHTTP2_INADEQUATE_SECURITY,
};

const KIND_OF_CODE: ReadonlyMap<number, FailureKind> = new Map<number, FailureKind>([
  [constants.NGHTTP2_NO_ERROR, "cut"],
  [constants.NGHTTP2_PROTOCOL_ERROR, "protocol"],
  [constants.NGHTTP2_INTERNAL_ERROR, "reset"],
  [constants.NGHTTP2_FLOW_CONTROL_ERROR, "protocol"],
  [constants.NGHTTP2_SETTINGS_TIMEOUT, "timeout"],
  [constants.NGHTTP2_STREAM_CLOSED, "protocol"],
  [constants.NGHTTP2_FRAME_SIZE_ERROR, "protocol"],
  [constants.NGHTTP2_REFUSED_STREAM, "refused"],
  [constants.NGHTTP2_CANCEL, "reset"],
  [constants.NGHTTP2_COMPRESSION_ERROR, "protocol"],
  [constants.NGHTTP2_CONNECT_ERROR, "cut"],
  [constants.NGHTTP2_ENHANCE_YOUR_CALM, "refused"],
  [constants.NGHTTP2_INADEQUATE_SECURITY, "denied"],
  [constants.NGHTTP2_HTTP_1_1_REQUIRED, "protocol"],
]);

const KINDS = new Set<string>(Object.keys(CODE_OF_KIND));

/** The RST_STREAM code for a failure of this kind after the head. */
export function resetCode(kind: FailureKind): number {
  return CODE_OF_KIND[kind];
}

/** What a reset with this code means to the gateway. An unknown code is a plain reset. */
export function kindOfReset(code: number): FailureKind {
  return KIND_OF_CODE.get(code) ?? "reset";
}

/** Reads the value of the failure header; a kind that this version does not know counts as `reset`. */
export function readKind(value: string): FailureKind {
  return KINDS.has(value) ? (value as FailureKind) : "reset";
}

/** Reads the value of the phase header; anything else means that the request may have been processed. */
export function readPhase(value: string | undefined): FailurePhase {
  return value === "connect" ? "connect" : "request";
}
