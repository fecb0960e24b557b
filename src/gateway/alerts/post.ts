import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import type { Clock } from "../../lib/clock.ts";
import type { SendOutcome } from "./channel.ts";

/** Longest time of a try, from the look-up of the name to the end of the answer. */
export const SEND_TIMEOUT_MS = 10_000;
/** Most of an answer that is read, and thrown away. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** Longest `Retry-After` that is obeyed. */
const MAX_RETRY_AFTER_MS = 5 * 60_000;

export interface Post {
  url: URL;
  /** JSON. */
  body: string;
  headers?: Readonly<Record<string, string>>;
  /** PEM of the authority behind the receiver's certificate; null: the system's. */
  ca: string | null;
  clock: Clock;
  signal: AbortSignal;
}

/**
 * Posts JSON to exactly the URL: follows no redirect, uses no proxy, verifies TLS, and is over within `SEND_TIMEOUT_MS`. Of the answer
 * only the status counts. Does not reject.
 */
export async function post(what: Post): Promise<SendOutcome> {
  const { clock, signal } = what;
  const late = new AbortController();
  const timer = clock.after(SEND_TIMEOUT_MS, () => late.abort());
  try {
    const { statusCode = 0, headers } = await exchange(what, AbortSignal.any([signal, late.signal]));
    return judgeStatus(statusCode, headers["retry-after"], clock.nowMs());
  } catch (error) {
    return late.signal.aborted ? tooLate() : judgeFailure((error as NodeJS.ErrnoException).code);
  } finally {
    timer.cancel();
  }
}

/** Resolves with the head when the answer is over, whole or not; rejects where there is none, or what was to be sent cannot be. */
function exchange({ url, body, headers = {}, ca }: Post, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const asking = send(url, {
      method: "POST",
      agent: false,
      signal,
      // Said, because an environment variable could turn it off for the whole process.
      rejectUnauthorized: true,
      ...(ca === null ? {} : { ca }),
      headers: {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "user-agent": "postern",
        ...headers,
      },
    });
    asking.on("response", (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > MAX_ANSWER_BYTES) response.destroy();
      });
      response.on("error", () => {});
      response.on("close", () => resolve(response));
    });
    asking.on("error", reject);
    asking.end(body);
  });
}

/** What a status means for the message. */
function judgeStatus(status: number, retryAfter: string | undefined, nowMs: number): SendOutcome {
  const detail = `it answered with HTTP ${status}`;
  if (status >= 200 && status < 300) return { isDelivered: true, detail };
  if (status >= 300 && status < 400) {
    const nextStep = "Redirects are not followed: set the channel's URL to where it leads.";
    return { isDelivered: false, detail: `${detail}, a redirect`, isPermanent: true, retryAfterMs: null, nextStep };
  }
  const mayPass = status >= 500 || status === 408 || status === 425 || status === 429;
  return {
    isDelivered: false,
    detail,
    isPermanent: !mayPass,
    retryAfterMs: mayPass ? readRetryAfter(retryAfter, nowMs) : null,
    nextStep: mayPass
      ? "Look at the receiver: it has trouble or wants fewer messages."
      : "Check the channel's URL and credentials: the receiver does not take the message.",
  };
}

/** Seconds or a date (RFC 9110 §10.2.3). */
function readRetryAfter(text: string | undefined, nowMs: number): number | null {
  if (text === undefined) return null;
  const ms = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isNaN(ms) || ms <= 0 ? null : Math.min(ms, MAX_RETRY_AFTER_MS);
}

export function tooLate(afterMs = SEND_TIMEOUT_MS): SendOutcome {
  return failed(
    `there was no answer within ${afterMs / 1000} s`,
    "Look whether the receiver runs and can be reached from this machine.",
  );
}

/** Only what the code of an error says: a message would name the host. */
export function judgeFailure(code = "no reason given"): SendOutcome {
  switch (code) {
    case "ETIMEDOUT":
      return tooLate();
    case "ETLS":
      return failed("it offers no TLS", "Correct the mail server, or the channel's `tls` and port.");
    case "ECONNREFUSED":
      return failed("the connection was refused", "Start the receiver, or check the channel's host and port.");
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return failed("its name cannot be resolved", "Check the channel's host name and this machine's DNS.");
    case "ECONNRESET":
    case "EPIPE":
      return failed("the connection was cut", "Look at the receiver, and at proxies before it.");
    case "ERR_INVALID_CHAR":
      return failed(
        "its token cannot be sent",
        "Correct the channel's token: it has a character that no header may have.",
      );
    case "ABORT_ERR":
    case "EABORT":
      return failed("the gateway stopped", "It is told again after the next start.");
    default:
      return /CERT|SSL|TLS|SIGNED|ALTNAME|VERIFY/.test(code)
        ? failed(
            `its certificate is not good (${code})`,
            "Give the channel the authority's certificate (`ca`), or correct the receiver's.",
          )
        : failed(`the connection failed (${code})`, "Look whether the receiver can be reached from this machine.");
  }
}

function failed(detail: string, nextStep: string): SendOutcome {
  return { isDelivered: false, detail, isPermanent: false, retryAfterMs: null, nextStep };
}
