/**
 * The catalogue of everything that can go wrong in words of ours. A code is forever; a retired one stays listed in `RETIRED_CODES`.
 *
 * Three readers, three fields: `message` for the caller (no hosts, no keys, no prompts), `hint` for what to do next,
 * `detail` and `cause` for the log.
 */
export interface ErrorEntry {
  /** Status on the public listener; for operators' errors 500, which only the admin API ever shows. */
  status: number;
  /** Wording when the thrower gives none. */
  message: string;
  /** Whether the same request may succeed later without a change. Sets `x-should-retry`. */
  retryable: boolean;
  /** `error.type` and `error.code` of the OpenAI dialect, which its clients match. */
  openai: { type: string; code: string | null };
  /** `error.type` of the Anthropic dialect. */
  anthropic: string;
}

const invalid = { type: "invalid_request_error", anthropic: "invalid_request_error" } as const;

function refusal(
  status: number,
  message: string,
  code: string | null,
  anthropic: string = invalid.anthropic,
): ErrorEntry {
  return { status, message, retryable: false, openai: { type: invalid.type, code }, anthropic };
}

function trouble(status: number, message: string, code: string, anthropic = "api_error"): ErrorEntry {
  return { status, message, retryable: true, openai: { type: "server_error", code }, anthropic };
}

/** @param type `error.type` of OpenAI's dialect, which says what there was too much of. */
function rate(message: string, type: "requests" | "tokens" | "rate_limit_error"): ErrorEntry {
  return {
    status: 429,
    message,
    retryable: true,
    openai: { type, code: "rate_limit_exceeded" },
    anthropic: "rate_limit_error",
  };
}

function operator(message: string): ErrorEntry {
  return {
    status: 500,
    message,
    retryable: false,
    openai: { type: "server_error", code: null },
    anthropic: "api_error",
  };
}

export const ERRORS = {
  // The request line, headers and framing.
  unknown_operation: refusal(404, "There is no such endpoint", "unknown_url", "not_found_error"),
  bad_target: refusal(400, "The request target is not one that this server accepts", "bad_target"),
  key_in_query: refusal(400, "Credentials belong in a header, never in the URL", "key_in_query"),
  bad_request: refusal(400, "The request is not acceptable HTTP", "bad_request"),
  bad_host: refusal(421, "This server does not serve that host", "bad_host"),
  headers_too_large: refusal(431, "The request headers are too large", "headers_too_large"),
  request_timeout: refusal(408, "The request did not arrive in time", "request_timeout"),
  tls_required: refusal(
    403,
    "This address takes no requests without TLS; use https",
    "tls_required",
    "permission_error",
  ),
  key_exposed: refusal(
    403,
    "The key crossed the network in clear, because this request came without TLS. Replace the key now, and use https",
    "key_exposed",
    "permission_error",
  ),

  // Who is asking.
  unauthorized: {
    status: 401,
    message: "Incorrect API key provided",
    retryable: false,
    openai: { type: "invalid_request_error", code: "invalid_api_key" },
    anthropic: "authentication_error",
  },
  proxy_unproved: refusal(
    403,
    "The request did not come through the proxy that it names",
    "proxy_unproved",
    "permission_error",
  ),
  address_denied: refusal(403, "This address may not use this endpoint", "address_denied", "permission_error"),
  endpoint_denied: refusal(403, "This key may not be used at this endpoint", "endpoint_denied", "permission_error"),
  origin_denied: refusal(
    403,
    "Pages of this origin may not use this server from a browser",
    "origin_denied",
    "permission_error",
  ),
  client_certificate_missing: refusal(
    403,
    "This server asks for a client certificate, and none that it trusts was shown",
    "client_certificate_missing",
    "permission_error",
  ),
  operation_denied: refusal(403, "This key may not use this operation", "operation_denied", "permission_error"),
  pin_denied: refusal(403, "This key may not choose the node (X-Postern-Node)", "pin_denied", "permission_error"),
  too_many_failures: rate("Too many failed attempts from this address", "rate_limit_error"),
  too_many_requests: rate("Too many requests at once with this key", "rate_limit_error"),
  request_rate_limited: rate("Too many requests a minute with this key", "requests"),
  token_rate_limited: rate("Too many tokens a minute with this key", "tokens"),
  token_rate_exceeded: {
    ...rate("The request may use more tokens than this key may use in a minute", "tokens"),
    retryable: false,
  },
  budget_reserved: rate("What is left of this key's budget is reserved by requests that run", "rate_limit_error"),
  budget_spent: {
    status: 429,
    message: "This key's budget is spent",
    retryable: false,
    openai: { type: "insufficient_quota", code: "insufficient_quota" },
    anthropic: "billing_error",
  },
  revoked: {
    status: 401,
    message: "The API key was revoked",
    retryable: false,
    openai: { type: "invalid_request_error", code: "invalid_api_key" },
    anthropic: "authentication_error",
  },

  // The body.
  body_too_large: refusal(413, "The request body is too large", "body_too_large", "request_too_large"),
  body_encoding: refusal(
    415,
    "The request body must be JSON in UTF-8, plain or compressed with zstd or gzip",
    "body_encoding",
  ),
  body_not_json: refusal(400, "The request body is not valid JSON", "body_not_json"),
  body_not_form: refusal(400, "The request body is not a valid form", "body_not_form"),
  body_ambiguous: refusal(400, "The request body names one field twice", "body_ambiguous"),
  body_too_deep: refusal(400, "The request body is nested too deep or has too many values", "body_too_deep"),
  body_invalid: refusal(400, "A field of the request body is not valid", "body_invalid"),
  field_refused: refusal(400, "The request body has a field that is not allowed here", "field_refused"),
  untranslatable: refusal(
    400,
    "The model's server speaks another dialect, and a part of the request has no counterpart there",
    "untranslatable",
  ),
  model_missing: refusal(400, "The request body must name a model", "model_missing"),
  model_not_found: refusal(
    404,
    "The model does not exist or this key may not use it",
    "model_not_found",
    "not_found_error",
  ),
  context_length_exceeded: refusal(400, "The prompt is longer than the model's context", "context_length_exceeded"),

  // Capacity and targets.
  overloaded: trouble(503, "The server is at its limit", "overloaded", "overloaded_error"),
  queue_full: trouble(
    503,
    "The model's inference servers are busy, and as many requests wait as may wait",
    "queue_full",
    "overloaded_error",
  ),
  queue_timeout: trouble(
    503,
    "The model's inference servers stayed busy for as long as a request may wait",
    "queue_timeout",
    "overloaded_error",
  ),
  no_target: trouble(503, "No inference server of this model can be reached now", "no_target", "overloaded_error"),
  contingency: trouble(
    503,
    "Cloud providers are not used at the moment, and no other server can answer this model",
    "contingency",
    "overloaded_error",
  ),
  approval_denied: refusal(
    403,
    "The servers that this key prefers cannot answer now, and an operator decided that no others may",
    "approval_denied",
    "permission_error",
  ),
  approval_timeout: trouble(
    503,
    "The servers that this key prefers cannot answer now, and no operator approved others in time",
    "approval_timeout",
    "overloaded_error",
  ),
  shutting_down: trouble(503, "The server is going down", "shutting_down", "overloaded_error"),
  engine_unreachable: trouble(502, "The inference server could not be reached", "engine_unreachable"),
  engine_refused: trouble(503, "The inference server is at its limit", "engine_refused", "overloaded_error"),
  engine_loading: trouble(503, "The model is being loaded", "engine_loading", "overloaded_error"),
  engine_timeout: trouble(504, "The inference server did not answer in time", "engine_timeout", "timeout_error"),
  engine_stalled: trouble(
    504,
    "The inference server stopped in the middle of the answer",
    "engine_stalled",
    "timeout_error",
  ),
  engine_cut: trouble(502, "The answer ended before it was complete", "engine_cut"),
  engine_bad_answer: trouble(502, "The inference server gave an answer that is not acceptable", "engine_bad_answer"),
  engine_failed: trouble(502, "The inference server reported an error", "engine_failed"),
  engine_denied: trouble(
    502,
    "The inference server did not accept the credentials that it was asked with",
    "engine_denied",
  ),
  all_targets_failed: trouble(502, "None of the inference servers that were asked could answer", "all_targets_failed"),
  link_lost: trouble(502, "The connection to the inference server was lost", "link_lost"),
  agent_denied: trouble(502, "The agent beside the inference server refused the request", "agent_denied"),
  deadline: trouble(504, "The request took longer than allowed", "deadline", "timeout_error"),
  internal: trouble(500, "Something went wrong inside Postern", "internal"),

  // For operators: commands, configuration, storage, joining.
  config_invalid: operator("Cannot load the configuration"),
  usage: operator("The command was not understood"),
  port_taken: operator("The port is taken by another program"),
  listen_failed: operator("Cannot listen on the address"),
  listen_unsafe: operator("Refusing to listen there"),
  data_folder: operator("Cannot use the data folder"),
  store_locked: operator("The store is in use by another process"),
  store_readonly: operator("The store cannot be written"),
  store_full: operator("The disk is full"),
  store_corrupt: operator("The store is damaged"),
  store_newer: operator("The store was written by a newer Postern"),
  store_failed: operator("The store failed"),
  already_exists: { ...operator("There is already one of that name"), status: 409 },
  not_found: { ...operator("There is no such thing"), status: 404 },
  invalid_input: { ...operator("The input is not valid"), status: 400 },
  required_model: { ...operator("The change would leave a required model without a target"), status: 409 },
  forbidden: { ...operator("You may not do that"), status: 403 },
  gateway_unreachable: operator("Cannot reach the gateway"),
  gateway_not_trusted: operator("The gateway could not prove its identity"),
  invitation_refused: { ...operator("The invitation was not accepted"), status: 401 },
  connector_refused: { ...operator("The gateway does not know this agent"), status: 401 },
  version_mismatch: operator("The two programs are too far apart in version"),
  drill_refused: { ...operator("The drill was not started"), status: 409 },
  engine_install: operator("The embedded engine could not be installed"),
  engine_start: operator("An engine could not be started"),
  package_unavailable: { ...operator("The agent's package is not available"), status: 503 },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** Codes that were used once and must not come back with another meaning. */
export const RETIRED_CODES: readonly string[] = [];

export interface ErrorFields {
  /** For the caller. The catalogue's wording when left out. */
  message?: string;
  /** What to do next. */
  hint?: string;
  /** For the log: names and numbers, never a prompt, a reply or a key. */
  detail?: Record<string, unknown>;
  cause?: unknown;
  /** Seconds for `Retry-After`. */
  retryAfterSeconds?: number;
  /** Name of the request field that is wrong (`error.param` of the OpenAI dialect). */
  param?: string;
}

/** The one error class. See STYLE "Errors". */
export class PosternError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly detail: Record<string, unknown>;
  readonly retryAfterSeconds: number | undefined;
  readonly param: string | undefined;

  constructor(code: ErrorCode, fields: ErrorFields = {}) {
    super(fields.message ?? ERRORS[code].message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = "PosternError";
    this.code = code;
    this.hint = fields.hint;
    this.detail = fields.detail ?? {};
    this.retryAfterSeconds = fields.retryAfterSeconds;
    this.param = fields.param;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  get isRetryable(): boolean {
    return ERRORS[this.code].retryable;
  }
}

/** `error` if it is one of ours, otherwise an `internal` error with it as the cause. */
export function toPosternError(error: unknown): PosternError {
  return error instanceof PosternError ? error : new PosternError("internal", { cause: error });
}
