import type { z } from "zod";
import { ERRORS, type ErrorCode, PosternError } from "../errors.ts";
import { ADMIN_PREFIX, adminError } from "./contract.ts";

export interface AdminRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** With prefix and query. */
  path: string;
  /** Sent as JSON; undefined: no body. */
  body: unknown;
  signal: AbortSignal;
}

/** Carries a request to wherever `/admin/v1` is: a socket, another machine, or the same process. */
export interface AdminTransport {
  /** Rejects with `gateway_unreachable` when nothing answers, and with the signal's reason. */
  send(request: AdminRequest): Promise<{ status: number; text: string }>;
  close(): Promise<void>;
}

/** One call of the admin contract. */
export type Ask = <Schema extends z.ZodType>(
  method: AdminRequest["method"],
  path: string,
  answer: Schema,
  body?: unknown,
  timeoutMs?: number,
) => Promise<z.output<Schema>>;

/** An input as whoever asks writes it: what has a default may be left out. */
export type Input<T> = { [Field in keyof T]?: T[Field] | undefined };

/** Added to what a probe or a backup takes by itself. */
export const SLOW_TIMEOUT_MS = 15 * 60_000;

const TIMEOUT_MS = 30_000;

/**
 * Asks over the transport, and reads the answer as its schema says. A call rejects with the `PosternError` that the gateway answered,
 * with `gateway_unreachable`, or with the reason of a signal; its deadline is 30 s unless it says another.
 *
 * @param whole Ends every call.
 */
export function createAsk(transport: AdminTransport, whole: AbortSignal | undefined): Ask {
  async function ask<Schema extends z.ZodType>(
    method: AdminRequest["method"],
    path: string,
    schema: Schema,
    body?: unknown,
    timeoutMs = TIMEOUT_MS,
  ): Promise<z.output<Schema>> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const signal = whole === undefined ? deadline : AbortSignal.any([whole, deadline]);
    const answer = await transport.send({ method, path: `${ADMIN_PREFIX}${path}`, body, signal });
    const json = parseJson(answer.text);
    if (answer.status >= 300) throw toError(answer.status, json);
    const result = schema.safeParse(json);
    if (result.success) return result.data;
    throw new PosternError("version_mismatch", {
      message: `The gateway's answer to ${method} ${ADMIN_PREFIX}${path.split("?")[0]} is not one that this version understands`,
      hint: "Use the same version of Postern on both sides.",
      detail: {
        faults: result.error.issues.map(({ path: at, message }) => ({ path: at.map(String).join("."), message })),
      },
    });
  }
  return ask;
}

/** The query of a path, those without a value left out. */
export function searchOf(query: Readonly<Record<string, string | number | undefined>>): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return given.length === 0 ? "" : `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function toError(httpStatus: number, json: unknown): PosternError {
  const parsed = adminError.safeParse(json);
  if (!parsed.success) {
    return new PosternError("gateway_unreachable", {
      message: `Something that is not a Postern gateway answered with HTTP status ${httpStatus}`,
    });
  }
  const { code, message, hint, faults } = parsed.data.error;
  return new PosternError(isErrorCode(code) ? code : "internal", {
    message,
    ...(hint === null ? {} : { hint }),
    ...(faults === undefined ? {} : { detail: { faults } }),
  });
}

// A newer gateway may have codes that this version does not know.
function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERRORS, code);
}
