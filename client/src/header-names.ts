/** Request headers that carry credentials or name an account. They are never taken from the caller's request. */
export const CREDENTIAL_HEADERS: readonly string[] = [
  "authorization",
  "proxy-authorization",
  "x-api-key",
  "api-key",
  "cookie",
  "openai-organization",
  "openai-project",
];

/** Asks for local-only; the gateway knows it too. It can only tighten. */
export const POLICY_HEADER = "x-postern-policy";
/** Response header: the target that answered. */
export const TARGET_HEADER = "x-postern-client-target";
/** Response header: how many targets were tried, the one that answered included. */
export const ATTEMPTS_HEADER = "x-postern-client-attempts";

/** Request headers that every target may see. All others stay here: what is unknown may be a credential of one target. */
const FORWARDED = [
  "accept",
  "content-type",
  "anthropic-version",
  "anthropic-beta",
  "anthropic-dangerous-direct-browser-access",
  "idempotency-key",
  "user-agent",
  "traceparent",
  "tracestate",
  "x-request-id",
  "x-postern-session",
];

/** Whether a header of the caller's request goes to the targets. `name` is in lower case. */
export function isForwarded(name: string, more: readonly string[]): boolean {
  return FORWARDED.includes(name) || name.startsWith("x-stainless-") || more.some((one) => one.toLowerCase() === name);
}
