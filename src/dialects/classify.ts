import { PosternError } from "../errors.ts";
import { OPERATIONS, type Operation } from "./operations.ts";

/** What a request target means. */
export interface Classified {
  operation: Operation;
  /** For `item` operations: the id asked for, decoded. Looked up in the catalogue, never forwarded. */
  modelId: string | null;
}

/** Longest raw request target that is looked at. */
export const MAX_TARGET_LENGTH = 4096;
/** Longest id of a model in a target or a body. */
export const MAX_MODEL_ID_LENGTH = 256;

/**
 * Step 1: which operation a request line asks for. The whole path is looked up in a table; nothing is parsed, resolved,
 * decoded or matched by prefix, because engines and proxies disagree on all of these (reference: engine-apis §5.2).
 *
 * Paths below `/v1/` are served as they are and under `/api`, so that `<gateway>/v1` and `<gateway>/api/v1` are both base
 * URLs; other paths (Ollama's own `/api/…`) only as they are.
 * A query is dropped; one that carries a credential is refused, because it is in logs by then.
 *
 * @param method As on the wire; case matters (RFC 9110 §9.1).
 * @param target The raw request target, before any URL parser has seen it.
 * @param optedIn Ids of the opt-in operations that the operator asked for.
 * @throws PosternError `bad_target` (not an origin-form path of plain printable ASCII), `key_in_query`, `unknown_operation`.
 */
export function classify(method: string, target: string, optedIn: ReadonlySet<string> = NOTHING): Classified {
  if (target.length > MAX_TARGET_LENGTH || !target.startsWith("/") || NOT_PLAIN.test(target)) throw badTarget();
  const question = target.indexOf("?");
  const path = question === -1 ? target : target.slice(0, question);
  const found = BY_METHOD_AND_PATH.get(`${method} ${path}`);
  const operation = found?.isOptIn && !optedIn.has(found.id) ? undefined : found;
  if (operation === undefined && AMBIGUOUS.test(path)) throw badTarget();
  if (question !== -1) refuseCredentials(target.slice(question + 1));
  if (operation !== undefined) return { operation, modelId: null };
  for (const [prefix, item] of ITEM_PREFIXES) {
    if (method === item.method && path.startsWith(prefix)) {
      const modelId = decodeModelId(path.slice(prefix.length));
      if (modelId !== null) return { operation: item, modelId };
    }
  }
  throw new PosternError("unknown_operation");
}

const NOTHING: ReadonlySet<string> = new Set();

/**
 * Whose error bodies a request target is answered with, also where it is refused: a client of the path reads only its own
 * dialect, whatever was wrong with the method, the query or the headers. `openai` for paths that are nobody's.
 */
export function familyOf(target: string): Operation["family"] {
  const question = target.indexOf("?");
  return FAMILIES.get(question === -1 ? target : target.slice(0, question)) ?? "openai";
}

/** Anything but printable ASCII, and the characters that URL parsers rewrite or cut at. */
const NOT_PLAIN = /[^\x21-\x7e]|[\\#]/;
/** Empty and dot segments, and path parameters: rewritten by some routers, taken literally by others. */
const AMBIGUOUS = /\/\/|;|\/\.{1,2}(?:\/|$)/;
/** What an id may consist of, with `%2F` and `%3A` (any case of the hex digits) as the only escapes. */
const MODEL_ID = /^(?:[A-Za-z0-9._~:@+=,/-]|%2[Ff]|%3[Aa])+$/;

/** All paths under which an operation is served. */
function pathsOf({ path }: Operation): string[] {
  return path.startsWith("/v1/") ? [path, `/api${path}`] : [path];
}

const BY_METHOD_AND_PATH: ReadonlyMap<string, Operation> = new Map(
  OPERATIONS.filter((operation) => operation.kind !== "item").flatMap((operation) =>
    pathsOf(operation).map((path) => [`${operation.method} ${path}`, operation] as const),
  ),
);

/** Families by path, whatever the method. `/` is everybody's. */
const FAMILIES: ReadonlyMap<string, Operation["family"]> = new Map(
  OPERATIONS.filter(({ path }) => path !== "/").flatMap((operation) =>
    pathsOf(operation).map((path) => [path, operation.family] as const),
  ),
);

const ITEM_PREFIXES = OPERATIONS.filter((operation) => operation.kind === "item").flatMap((operation) =>
  pathsOf(operation).map((path) => [path, operation] as const),
);

/** Names under which clients put credentials into URLs, folded to letters and digits. */
const CREDENTIAL_NAMES = new Set([
  "key",
  "apikey",
  "xapikey",
  "token",
  "apitoken",
  "accesstoken",
  "authtoken",
  "auth",
  "authorization",
  "bearer",
  "secret",
  "password",
  "subscriptionkey",
]);

function refuseCredentials(query: string): void {
  if (query === "") return;
  for (const pair of query.split("&", MAX_TARGET_LENGTH)) {
    const name = unescapeLoosely(pair.split("=", 1)[0] ?? "");
    if (CREDENTIAL_NAMES.has(name.toLowerCase().replace(/[^a-z0-9]/g, "")) || /psta?n?_/.test(unescapeLoosely(pair))) {
      throw new PosternError("key_in_query", {
        hint: "Send it as `Authorization: Bearer …` and make a new key: this one may stand in logs.",
      });
    }
  }
}

/** Every `%XX` of ASCII replaced, the rest left: good enough to recognise a name, never used to build anything. */
function unescapeLoosely(text: string): string {
  return text.replace(/%([0-7][0-9A-Fa-f])/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

function decodeModelId(tail: string): string | null {
  if (tail.length > MAX_MODEL_ID_LENGTH || !MODEL_ID.test(tail)) return null;
  const id = tail.replace(/%2f/gi, "/").replace(/%3a/gi, ":");
  return AMBIGUOUS.test(`/${id}`) || id.startsWith("/") || id.endsWith("/") ? null : id;
}

function badTarget(): PosternError {
  return new PosternError("bad_target");
}
