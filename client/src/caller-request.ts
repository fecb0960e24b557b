import { type AnswerForm, answerFormOf } from "./answer-form.ts";
import { FailoverError } from "./failover-error.ts";
import { isForwarded, POLICY_HEADER } from "./header-names.ts";
import { type Member, readString, topLevelMembers } from "./top-level-members.ts";

/** Longest request body that is read from a stream, to be sent again to a second target. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** A body that can be sent more than once. */
export type RepeatableBody = string | Uint8Array<ArrayBuffer> | FormData | Blob | URLSearchParams;

type AnyBody = NonNullable<RequestInit["body"]>;

/** What the caller asked, read once, in a form that can be sent to one target after the other. */
export interface CallerRequest {
  method: string;
  /** What follows the base URL: path and query. Begins with a slash, or is empty. */
  rest: string;
  /** Without credentials and without what is not known to be meant for every target. */
  headers: ReadonlyMap<string, string>;
  body: RepeatableBody | null;
  /** Of a JSON object: its members, for the model's name. */
  members: readonly Member[];
  model: string | null;
  /** What proves that an answer is whole, by the path; null for paths that stream nothing known. */
  form: AnswerForm | null;
  isStream: boolean;
  /** The caller asked for it by header. */
  isLocalOnly: boolean;
  signal: AbortSignal | null;
}

/**
 * Reads the arguments of `fetch`.
 *
 * @throws FailoverError `bad_request` when the URL is below none of the base URLs, or the body is too long to be sent twice.
 */
export async function readCallerRequest(
  input: string | URL | Request,
  init: RequestInit,
  callerBaseUrls: readonly string[],
  forwardHeaders: readonly string[],
): Promise<CallerRequest> {
  const asked = typeof input === "object" && "headers" in input ? input : null;
  const rest = restOf(new URL(asked === null ? String(input) : asked.url), callerBaseUrls);
  const given = new Headers(init.headers ?? asked?.headers);
  const headers = new Map([...given].filter(([name]) => isForwarded(name, forwardHeaders)));
  const body = await readBody(init.body ?? asked?.body ?? null, given);
  const json = typeof body === "string" ? body : null;
  const members = json === null ? [] : (topLevelMembers(json) ?? []);
  const form = answerFormOf(rest.split("?", 1)[0] ?? "");
  const streamed = textOf(json, members, "stream");
  return {
    method: init.method ?? asked?.method ?? "GET",
    rest,
    headers,
    body,
    members,
    model: readString(textOf(json, members, "model") ?? ""),
    form,
    isStream: form === "ollama" ? streamed !== "false" : streamed === "true",
    isLocalOnly: readPolicy(given.get(POLICY_HEADER)),
    signal: init.signal ?? asked?.signal ?? null,
  };
}

/** A request for anywhere else is refused: with `fetch` it would go there past all rules. */
function restOf(url: URL, callerBaseUrls: readonly string[]): string {
  for (const base of callerBaseUrls) {
    const { origin, pathname } = new URL(base);
    const path = pathname === "/" ? "" : pathname;
    if (url.origin !== origin || !(url.pathname === path || url.pathname.startsWith(`${path}/`))) continue;
    return `${url.pathname.slice(path.length)}${url.search}`;
  }
  throw new FailoverError(
    "bad_request",
    "Cannot send the request: its URL is below none of the base URLs. Give the SDK FAILOVER_BASE_URL, or name its own in callerBaseUrls.",
  );
}

function readPolicy(value: string | null): boolean {
  if (value === null || value === "local-only") return value !== null;
  throw new FailoverError("bad_request", `Cannot send the request: ${POLICY_HEADER} can only be "local-only"`);
}

function textOf(json: string | null, members: readonly Member[], name: string): string | null {
  // The last of two counts for most servers; the one that decides here is only the wait and the entry of `models`.
  const member = members.findLast((one) => one.name === name);
  return json === null || member === undefined ? null : json.slice(member.start, member.end);
}

async function readBody(body: AnyBody | null, headers: Headers): Promise<RepeatableBody | null> {
  if (body === null || typeof body === "string" || body instanceof FormData || body instanceof URLSearchParams)
    return body;
  if (body instanceof Blob) return body;
  const bytes = await readBytes(body);
  const isJson = headers.get("content-type")?.includes("json") === true;
  return isJson ? new TextDecoder().decode(bytes) : bytes;
}

async function readBytes(body: AnyBody): Promise<Uint8Array<ArrayBuffer>> {
  const source = new Response(body).body;
  if (source === null) return new Uint8Array();
  const reader = source.getReader();
  const parts: Uint8Array[] = [];
  let size = 0;
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    size += read.value.length;
    if (size > MAX_BODY_BYTES) {
      await reader.cancel();
      throw new FailoverError(
        "bad_request",
        `Cannot send the request: its body is longer than ${MAX_BODY_BYTES} bytes`,
      );
    }
    parts.push(read.value);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
