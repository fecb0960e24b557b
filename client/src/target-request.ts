import type { CallerRequest } from "./caller-request.ts";
import { type CheckedTarget, isSendableKey } from "./check-options.ts";
import { POLICY_HEADER } from "./header-names.ts";

/** What one target is sent. */
export interface TargetRequest {
  url: string;
  init: RequestInit;
}

/** Models that an engine of one's own hands on to its maker's cloud: Ollama's `gpt-oss:120b-cloud`, `NAME:cloud`. */
const LEAVING_MODEL = /[:-]cloud$/i;

/** The name that the target has for the caller's model. */
export function modelFor(target: CheckedTarget, model: string): string {
  return target.models.get(model) ?? target.models.get("*") ?? model;
}

/** Whether the target, although one's own, would hand the request on to a cloud. */
export function doesModelLeave(target: CheckedTarget, request: CallerRequest): boolean {
  return request.model !== null && LEAVING_MODEL.test(modelFor(target, request.model));
}

/**
 * Writes the request for a target: its URL, its key and no other, its name of the model, every other byte of the body as it was.
 *
 * @returns Null when the target's key cannot be read; what its function throws may have the key in it and is dropped.
 */
export function writeTargetRequest(
  target: CheckedTarget,
  request: CallerRequest,
  isLocalOnly: boolean,
): TargetRequest | null {
  const headers = new Headers([...request.headers, ...target.headers]);
  if (isLocalOnly) headers.set(POLICY_HEADER, "local-only");
  if (target.readKey !== null) {
    const key = callForKey(target.readKey);
    if (key === null) return null;
    const auth = target.auth ?? (request.headers.has("anthropic-version") ? "x-api-key" : "bearer");
    if (auth === "bearer") headers.set("authorization", `Bearer ${key}`);
    else headers.set("x-api-key", key);
  }
  return {
    url: `${target.baseUrl}${request.rest}`,
    init: {
      method: request.method,
      headers,
      body: bodyFor(target, request),
      // Followed, it would carry the prompt, and `x-api-key` too, to another host.
      redirect: "manual",
      credentials: "omit",
      cache: "no-store",
      referrerPolicy: "no-referrer",
    },
  };
}

function callForKey(readKey: () => string): string | null {
  try {
    const key = readKey();
    return isSendableKey(key) ? key : null;
  } catch {
    return null;
  }
}

function bodyFor(target: CheckedTarget, { body, members }: CallerRequest): CallerRequest["body"] {
  if (typeof body !== "string" || target.models.size === 0) return body;
  let written = "";
  let from = 0;
  for (const { name, start, end } of members) {
    if (name !== "model" || body[start] !== '"') continue;
    const model: unknown = JSON.parse(body.slice(start, end));
    if (typeof model !== "string") continue;
    written += `${body.slice(from, start)}${JSON.stringify(modelFor(target, model))}`;
    from = end;
  }
  return written + body.slice(from);
}
