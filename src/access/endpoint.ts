import type { KeyPolicy } from "./policy.ts";

/** A named public hostname, or a part of one below a path prefix, with what may be done there. */
export interface Endpoint {
  name: string;
  /** Lower case, without port. Null: the names that are ours anyway (loopback, `gateway.publicUrl`, the address connected to). */
  host: string | null;
  /** `/team-a`: taken off the request target before anything else looks at it. Null: none. */
  path: string | null;
  /** Names or globs of public models; null: every one. A request must pass this and its key's policy. */
  models: string[] | null;
  /** `no`: requests stay on the operator's own machines, whatever their key says. */
  mayLeave: "no" | "yes";
  prefer: NonNullable<KeyPolicy["prefer"]>;
  fallback: NonNullable<KeyPolicy["fallback"]>;
  /** Only these targets; null: all. */
  targets: NonNullable<KeyPolicy["targets"]> | null;
  owner: string | null;
  purpose: string | null;
  /** `YYYY-MM-DD`, from which on somebody should look at it again. */
  reviewOn: string | null;
}

/** The endpoint that is always there. */
export const DEFAULT_ENDPOINT: Endpoint = {
  name: "default",
  host: null,
  path: null,
  models: null,
  mayLeave: "yes",
  prefer: "none",
  fallback: "automatic",
  targets: null,
  owner: null,
  purpose: null,
  reviewOn: null,
};

/** Most endpoints that are not in the file. */
export const MAX_ENDPOINTS = 256;

/** Names of endpoints and rules: they stand in logs, paths and on the command line. */
export const PLACE_NAME = /^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/;

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const PATH = /^(?:\/[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?){1,4}$/;
/** First segments under which the gateway has paths of its own. */
const TAKEN = new Set(["v1", "api", "healthz", "readyz", "metrics", "admin"]);

/** What is wrong with the host of an endpoint as the rest of a sentence, or null. Names only: addresses are rules' business. */
export function hostFault(host: string): string | null {
  if (HOST_NAME.test(host) && !/^[0-9.]+$/.test(host)) return null;
  return 'must be a host name in lower case without port, like "team.example.org"';
}

/**
 * What is wrong with the path prefix of an endpoint as the rest of a sentence, or null. It has no dots, escapes or capitals, which
 * programs on the way may rewrite, and begins like no path of the gateway's own.
 */
export function pathFault(path: string): string | null {
  if (!PATH.test(path))
    return 'must be one to four names after slashes, of lower-case letters, digits, "-" and "_", like "/team-a"';
  const first = path.split("/", 2)[1] ?? "";
  return TAKEN.has(first) ? `must not begin with /${first}, where the gateway has paths of its own` : null;
}

/** What is wrong with a date as the rest of a sentence, or null. */
export function dateFault(text: string): string | null {
  const atMs = /^\d{4}-\d{2}-\d{2}$/.test(text) ? Date.parse(text) : Number.NaN;
  const isDate = !Number.isNaN(atMs) && new Date(atMs).toISOString().startsWith(text);
  return isDate ? null : 'must be a day like "2027-01-31"';
}

/** Two endpoints cannot answer at one place. The other one's name, or null. */
export function findTwin(
  endpoint: Pick<Endpoint, "name" | "host" | "path">,
  others: Iterable<Endpoint>,
): string | null {
  for (const other of others) {
    if (other.name !== endpoint.name && other.host === endpoint.host && other.path === endpoint.path) return other.name;
  }
  return null;
}
