import { isJsonObject, type JsonObject } from "./request-member.ts";

/** What a provider's error is about, as far as it decides what the caller may read of it. */
type Matter =
  /** The operator's account, key or bill there: not the caller's affair. */
  | "account"
  /** How much the account may ask for just now. */
  | "rate"
  /** The request, or the provider's own trouble. */
  | "request";

/** Status of an error about the account, whatever the provider gave it: 401 and 403 are never passed on, and another target may serve. */
const ACCOUNT_STATUS = 403;

const ACCOUNT_MARKS =
  /insufficient_quota|billing|credit|invalid_api_key|authentication|permission|account|organization|payment/;
/** Phrases, not words: a message may quote what the caller wrote. */
const ACCOUNT_WORDS =
  /credit balance|your current quota|plans? (?:&|and) billing|\bbilling\b|(?:insufficient|purchase|more|out of) credits?|\b(?:your|this|the) (?:organization|account|workspace|project|subscription|team|api key)\b|(?:invalid|incorrect|missing) api[ -]key|organization must be|has been (?:disabled|suspended|deactivated)/i;

/**
 * Names of organizations and projects, keys, names of users and requests, addresses of mail and of the web, hosts. Every repeat
 * is bounded: the text may be hostile.
 */
const HIDDEN = new RegExp(
  [
    String.raw`\b(?:org|proj)[-_][A-Za-z0-9]{12,64}\b`,
    String.raw`\b(?:user|req|acct|wrkspc|ws)[-_](?=[A-Za-z]{0,64}\d)[A-Za-z0-9]{12,64}\b`,
    String.raw`\b(?:sk|gsk|pk|rk)[-_](?=[A-Za-z_.-]{0,64}[\d*])[A-Za-z0-9_*.-]{6,256}`,
    String.raw`\bhttps?:\/\/[^\s"'<>)\\]{1,2048}`,
    String.raw`\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4}`,
    String.raw`\b(?:[a-z0-9-]{1,63}\.){1,4}(?:openai\.com|azure\.com|anthropic\.com|ai|googleapis\.com|amazonaws\.com)\b`,
  ].join("|"),
  "gi",
);
const MASK = "[hidden]";
const NOTHING = Buffer.from("{}");

/** Members beside the message in which providers tell of accounts, requests and the hosts behind them. */
const DROPPED = ["request_id", "user_id", "metadata", "innererror", "provider", "trace_id"] as const;

const RATE_MESSAGE = "The model's provider is asked too often just now";

/** What the caller may have of a provider's error. */
export interface ToldError {
  status: number;
  body: Buffer;
  isAccount: boolean;
}

/**
 * A provider's error without what tells of the operator's account there: organizations, projects, keys, bills, quotas, hosts and
 * the provider's own request ids. What helps the caller stays word for word: content policies, contexts that are full, fields
 * that are wrong (Anthropic's clients match its wording).
 *
 * @param body Of an answer with a status from 400. What is no JSON object is not told at all.
 * @param host The provider's, hidden wherever it stands.
 */
export function tellProviderError(status: number, body: Buffer, host: string): ToldError {
  const tree = parse(body);
  switch (matterOf(status, tree)) {
    case "account":
      return { status: ACCOUNT_STATUS, body: NOTHING, isAccount: true };
    case "rate":
      return { status, body: rateBody(tree), isAccount: false };
    case "request":
      // 403 is never told; a moderator's is as good as a 400.
      return {
        status: status === 403 ? 400 : status,
        body: tree === null ? NOTHING : hideNames(body, tree, host),
        isAccount: false,
      };
  }
}

/** The data of an error within a stream, hidden in the same way; null where nothing has to be. */
export function tellStreamError(data: string, host: string): string | null {
  const tree = parse(Buffer.from(data));
  if (tree === null || !isError(tree)) return null;
  const told = tellProviderError(500, Buffer.from(data), host);
  const text = told.isAccount ? serverErrorBody(tree) : told.body.toString("utf8");
  return text === data ? null : text;
}

function matterOf(status: number, tree: JsonObject | null): Matter {
  const { marks, message } = wordsOf(tree);
  // A moderator's no is about the request, and OpenRouter says it with 403.
  if (status === 403 && /moderation|flagged|content[_ ]policy/i.test(`${marks} ${message}`)) return "request";
  if (status === 401 || status === 402 || status === 403) return "account";
  if (ACCOUNT_MARKS.test(marks)) return "account";
  if (status === 429) return /your current quota|credit|billing/i.test(message) ? "account" : "rate";
  return ACCOUNT_WORDS.test(message) ? "account" : "request";
}

function wordsOf(tree: JsonObject | null): { marks: string; message: string } {
  const inner = tree?.["error"];
  const error = isJsonObject(inner) ? inner : (tree ?? {});
  const text = (value: unknown) => (typeof value === "string" ? value : "");
  const message =
    [error["message"], inner, error["detail"], tree?.["message"]].map(text).find((one) => one !== "") ?? "";
  return { marks: `${text(error["type"])} ${text(error["code"])}`.toLowerCase(), message };
}

function isError(tree: JsonObject): boolean {
  return tree["error"] != null || tree["type"] === "error";
}

/** In the shape that it came in, so that translations read it as they read the real thing. */
function rateBody(tree: JsonObject | null): Buffer {
  const error = { message: RATE_MESSAGE, type: "rate_limit_error" };
  const isAnthropic = tree?.["type"] === "error";
  return Buffer.from(
    JSON.stringify(isAnthropic ? { type: "error", error } : { error: { ...error, code: "rate_limit_exceeded" } }),
  );
}

function serverErrorBody(tree: JsonObject): string {
  const message = "The model's provider cannot go on";
  return JSON.stringify(
    tree["type"] === "error"
      ? { type: "error", error: { type: "api_error", message } }
      : { error: { message, type: "server_error", code: null } },
  );
}

/** The same bytes where there is nothing to hide. */
function hideNames(body: Buffer, tree: JsonObject, host: string): Buffer {
  const inner = tree["error"];
  const isDropping = [tree, inner].some((holder) => isJsonObject(holder) && DROPPED.some((name) => name in holder));
  const without = (holder: JsonObject) =>
    Object.fromEntries(Object.entries(holder).filter(([name]) => !DROPPED.some((one) => one === name)));
  const kept = isDropping ? { ...without(tree), ...(isJsonObject(inner) ? { error: without(inner) } : {}) } : null;
  const text = kept === null ? body.toString("utf8") : JSON.stringify(kept);
  const masked = text.replaceAll(host, MASK).replace(HIDDEN, MASK);
  return kept === null && masked === text ? body : Buffer.from(masked);
}

function parse(body: Buffer): JsonObject | null {
  try {
    const tree: unknown = JSON.parse(body.toString("utf8"));
    return isJsonObject(tree) ? tree : null;
  } catch {
    return null;
  }
}
