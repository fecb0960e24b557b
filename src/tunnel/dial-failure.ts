import type { IncomingMessage } from "node:http";
import { type ErrorCode, PosternError } from "../errors.ts";
import { readRefusal } from "./handshake.ts";

/** Where a dial stopped. */
export type DialStage = "connect" | "hello" | "identity" | "upgrade" | "aborted";

/** A dial that failed. `error` is for people; the rest is for whoever decides when to dial again. */
export interface DialFailure {
  stage: DialStage;
  /** Dialling again is pointless until a person changes something. */
  permanent: boolean;
  retryAfterMs: number;
  /** The next epoch must be greater than this, or null. */
  epochFloor: number | null;
  /** Something between here and the gateway does not let this kind of upgrade through. */
  isUpgradeBlocked: boolean;
  error: PosternError;
}

/** Carries a `DialFailure` from where it is seen to the end of the dial. Never leaves the tunnel. */
export class DialStop extends Error {
  readonly failure: DialFailure;

  constructor(failure: Pick<DialFailure, "stage" | "permanent" | "error"> & Partial<DialFailure>) {
    super(failure.error.message);
    this.failure = { retryAfterMs: 0, epochFloor: null, isUpgradeBlocked: false, ...failure };
  }
}

/**
 * The gateway, or something in front of it, did not answer as asked.
 *
 * @param isAuthentic Whether the answer is known to come from the gateway. Otherwise `permanent` is not believed: anyone
 * on the way could stop an agent for ever with it.
 */
export function refused(
  stage: "hello" | "upgrade",
  response: IncomingMessage,
  body: string,
  isAuthentic: boolean,
): DialStop {
  const status = response.statusCode ?? 0;
  const refusal = readRefusal(body);
  if (refusal === null) {
    const error = new PosternError("gateway_unreachable", {
      message: `Cannot connect to the gateway: what answers at its address said ${status}`,
      hint: "Check the URL, and that proxies in front of the gateway pass /.postern/connect through.",
      detail: { stage, status },
    });
    return new DialStop({ stage, permanent: false, isUpgradeBlocked: stage === "upgrade", error });
  }
  const error = new PosternError(CODE_OF_REFUSAL[refusal.code] ?? "gateway_unreachable", {
    message: `The gateway refused: ${printable(refusal.message)}`,
    ...(HINT_OF_REFUSAL[refusal.code] === undefined ? {} : { hint: HINT_OF_REFUSAL[refusal.code] as string }),
    detail: { stage, status, refusal: printable(refusal.code) },
    retryAfterSeconds: refusal.retryAfterSeconds,
  });
  return new DialStop({
    stage,
    permanent: refusal.permanent && isAuthentic,
    retryAfterMs: refusal.retryAfterSeconds * 1000,
    epochFloor: isAuthentic ? (refusal.epochFloor ?? null) : null,
    error,
  });
}

/** The gateway could not prove that it is the one this agent was invited by. */
export function notTrusted(problem: string): DialStop {
  const error = new PosternError("gateway_not_trusted", {
    message: `The gateway could not prove its identity: ${problem}`,
    hint: "If the gateway was set up anew, invite this node again. Otherwise someone may be in between.",
  });
  return new DialStop({ stage: "identity", permanent: false, error });
}

/** Whatever answers does not speak the protocol. */
export function notGateway(stage: DialStage, problem: string): DialStop {
  const error = new PosternError("gateway_unreachable", {
    message: `Cannot connect to the gateway: ${problem}`,
    hint: "Check the URL, and that proxies in front of the gateway pass /.postern/connect through.",
    detail: { stage },
  });
  return new DialStop({ stage, permanent: false, isUpgradeBlocked: stage === "upgrade", error });
}

/** Any error of a dial as a failure. `stage` is where it had got to. */
export function toDialFailure(error: unknown, stage: DialStage, host: string): DialFailure {
  if (error instanceof DialStop) return error.failure;
  const reason = error instanceof Error ? error.message : String(error);
  return {
    stage,
    permanent: false,
    retryAfterMs: 0,
    epochFloor: null,
    isUpgradeBlocked: false,
    error: new PosternError("gateway_unreachable", {
      message: `Cannot reach the gateway at ${host}: ${reason}`,
      hint: "Check that the gateway runs, its URL, and this machine's network and proxy settings.",
      detail: { stage },
      cause: error,
    }),
  };
}

const CODE_OF_REFUSAL: Readonly<Record<string, ErrorCode>> = {
  unauthorized: "connector_refused",
  invitation_refused: "invitation_refused",
  version_mismatch: "version_mismatch",
  capability_unknown: "version_mismatch",
  not_secure: "gateway_not_trusted",
};

const HINT_OF_REFUSAL: Readonly<Record<string, string>> = {
  unauthorized: "If the node was removed, invite it again with `postern nodes invite`.",
  invitation_refused: "Make a new one with `postern nodes invite`: they last one hour and work once.",
  version_mismatch: "Upgrade the older of the two.",
  capability_unknown: "Upgrade the gateway.",
  not_secure:
    "Use the gateway's https:// URL; if a proxy in front of it terminates TLS, declare it in gateway.trustedProxies.",
};

/** What a stranger said, fit for a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, "?");
}
