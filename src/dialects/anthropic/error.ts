import { type ContextOverflow, readContextOverflow } from "../context-overflow.ts";
import type { SaidError } from "../conversation.ts";
import { isJsonObject, type JsonObject } from "../request-member.ts";
import { saidError } from "../said-error.ts";

/** Longest error body that is looked into; longer ones pass as they are. */
const MAX_ERROR_BYTES = 64 * 1024;

/** By this token Claude Code knows, in whatever sentence, that it has to compact (reference: engine-apis §4.2, Context). */
const PROMPT_TOO_LONG = "capability_rejected: prompt_too_long";

/** Least room for an answer that makes asking for a shorter one worth while; below it the prompt has to shrink. */
const MIN_ANSWER_TOKENS = 4096;

/**
 * The sentence that makes clients of this dialect compact their conversation, in Anthropic's own words. Where the prompt
 * fits and only the answer asked for does not, it is the one that makes them ask for a shorter answer instead.
 */
export function promptTooLongMessage({ promptTokens, answerTokens, windowTokens }: ContextOverflow): string {
  if (promptTokens === null || windowTokens === null) {
    return `prompt is too long for this model's context (${PROMPT_TOO_LONG})`;
  }
  if (answerTokens !== null && windowTokens - promptTokens >= MIN_ANSWER_TOKENS) {
    return `input length and \`max_tokens\` exceed context limit: ${promptTokens} + ${answerTokens} > ${windowTokens}, decrease input length or \`max_tokens\` and try again`;
  }
  return `prompt is too long: ${promptTokens} tokens > ${windowTokens} maximum (${PROMPT_TOO_LONG})`;
}

/** What we say ourselves of a prompt that is too long, with the token that makes clients compact. */
export function contextMessage(message: string): string {
  const overflow = readContextOverflow(message);
  if (overflow !== null) return promptTooLongMessage(overflow);
  return `prompt is too long: ${message} (${PROMPT_TOO_LONG})`;
}

/**
 * An engine's error as clients of this dialect act on it: a prompt that is too long in the words that make them compact, and
 * the shapes of other dialects (llama-server answers in OpenAI's below `/v1/messages` too) put into this one's, with the
 * engine's own message. Null for what has the right shape: clients match the wording of Anthropic's own.
 */
export function adaptMessagesError(status: number, body: Buffer): { status: number; body: Buffer } | null {
  if (status < 400 || body.length > MAX_ERROR_BYTES) return null;
  const parsed = parse(body);
  if (!isJsonObject(parsed)) return null;
  const words = readWords(parsed);
  const overflow = overflowOf(parsed, words);
  if (isOwnShape(parsed) && (overflow === null || ANTHROPICS_OWN.test(words.message))) return null;
  const said = readMessagesError(status, parsed);
  return {
    // Clients know 529 as "overloaded" where others know 503 (engine-apis §3.2).
    status: said.kind === "overloaded" ? 529 : said.status,
    body: Buffer.from(JSON.stringify(overflow === null ? writeMessagesError(said) : contextError(overflow))),
  };
}

/** Anthropic's wordings for a context that is full. */
const ANTHROPICS_OWN = /prompt is too long|exceed context limit/;

function isOwnShape(body: JsonObject): boolean {
  const error = body["error"];
  return body["type"] === "error" && isJsonObject(error) && typeof error["message"] === "string";
}

/** An engine's error of whatever shape, understood. */
export function readMessagesError(status: number, body: unknown): SaidError {
  const words = readWords(body);
  if (overflowOf(body, words) !== null) {
    return { status: 400, kind: "context_length", message: words.message.slice(0, MAX_MESSAGE_LENGTH) };
  }
  return saidError({ status: status >= 400 ? status : statusOf(words.marks), ...words });
}

/** The body of an error for a caller of this dialect. */
export function writeMessagesError(error: SaidError): ErrorObject {
  if (error.kind === "context_length") {
    return contextError(readContextOverflow(error.message) ?? UNKNOWN);
  }
  return { type: "error", error: { type: ERROR_TYPES[error.kind] ?? typeOf(error.status), message: error.message } };
}

interface ErrorObject {
  type: "error";
  error: { type: string; message: string };
}

function contextError(overflow: ContextOverflow): ErrorObject {
  return { type: "error", error: { type: "invalid_request_error", message: promptTooLongMessage(overflow) } };
}

/** Longest message of an engine that is passed on. */
const MAX_MESSAGE_LENGTH = 2048;
const UNKNOWN: ContextOverflow = { promptTokens: null, answerTokens: null, windowTokens: null };

/** Types of in-band errors, which have no status, with the one they mean (engine-apis §3.2). */
const STATUS_BY_TYPE: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
};

const ERROR_TYPES: Readonly<Partial<Record<SaidError["kind"], string>>> = {
  rate_limit: "rate_limit_error",
  quota: "billing_error",
  overloaded: "overloaded_error",
  not_found: "not_found_error",
};

function typeOf(status: number): string {
  for (const [type, known] of Object.entries(STATUS_BY_TYPE)) if (known === status) return type;
  return status >= 400 && status < 500 ? "invalid_request_error" : "api_error";
}

function statusOf(marks: readonly string[]): number {
  for (const mark of marks) {
    const status = Object.hasOwn(STATUS_BY_TYPE, mark) ? STATUS_BY_TYPE[mark] : undefined;
    if (status !== undefined) return status;
  }
  return 500;
}

function overflowOf(body: unknown, { marks, message }: Words): ContextOverflow | null {
  const read = readContextOverflow(message);
  const isMarked = marks.some((mark) => mark === "exceed_context_size_error" || mark === "context_length_exceeded");
  if (read === null && !isMarked) return null;
  const error = isJsonObject(body) && isJsonObject(body["error"]) ? body["error"] : {};
  return {
    promptTokens: read?.promptTokens ?? wholeNumber(error["n_prompt_tokens"]),
    answerTokens: read?.answerTokens ?? null,
    windowTokens: read?.windowTokens ?? wholeNumber(error["n_ctx"]),
  };
}

interface Words {
  marks: readonly string[];
  message: string;
}

/** Anthropic's and OpenAI's nested object, vLLM's older flat one, a bare string under `error`, `detail` of FastAPI. */
function readWords(body: unknown): Words {
  if (!isJsonObject(body)) return { marks: [], message: "" };
  const inner = body["error"];
  const error = isJsonObject(inner) ? inner : body;
  const marks = [error["type"], error["code"]].filter((mark) => typeof mark === "string");
  for (const text of [error["message"], inner, body["message"], body["detail"]]) {
    if (typeof text === "string") return { marks, message: text };
  }
  return { marks, message: "" };
}

function wholeNumber(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}
