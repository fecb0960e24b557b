import { isListed } from "../../lib/glob.ts";

/**
 * Faults that a drill plays (reference: faults.md §2, those that apply where the gateway starts an exchange).
 *
 * `blocks`: the request never gets to the target, so that a drill can hold that nothing reached it. The others spoil the
 * target's real answer on its way back.
 */
export const FAULTS = {
  refused: { blocks: true, text: "the connection is refused" },
  "dns-failure": { blocks: true, text: "the name does not resolve" },
  blackhole: { blocks: true, text: "no packet comes back: the connection attempt ends at its time limit" },
  "tls-failure": { blocks: true, text: "the certificate is not accepted" },
  silent: { blocks: true, text: "the connection stands and nothing is ever answered" },
  unauthorized: { blocks: true, text: "401, as for a key that was withdrawn" },
  "rate-limited": { blocks: true, text: "429 without Retry-After" },
  "rate-limited-retry-after": { blocks: true, text: "429 with Retry-After: 2" },
  "server-error": { blocks: true, text: "500" },
  unavailable: { blocks: true, text: "503, at once" },
  redirect: { blocks: true, text: "302 to somewhere else" },
  "unasked-encoding": { blocks: true, text: "an answer in an encoding that nobody asked for" },
  "link-reset": { blocks: true, text: "the link is reset while the request is under way" },
  "slow-first-token": { blocks: false, text: "the head at once, the first content late" },
  "slow-link": { blocks: false, text: "everything comes late" },
  stall: { blocks: false, text: "the answer stops in its middle and nothing more comes" },
  cut: { blocks: false, text: "the connection ends in the middle of the answer" },
  "malformed-event": { blocks: false, text: "one event of the answer cannot be parsed" },
  "short-body": { blocks: false, text: "the answer is shorter than its Content-Length" },
  "extra-bytes": { blocks: false, text: "bytes follow the end of the answer" },
} as const satisfies Record<string, { blocks: boolean; text: string }>;

export type FaultKind = keyof typeof FAULTS;

export const FAULT_KINDS = Object.keys(FAULTS) as FaultKind[];

export function isFaultKind(text: string): text is FaultKind {
  return Object.hasOwn(FAULTS, text);
}

/** Where a fault is played. Each list is of names or globs; null is everything. Providers and nodes form a union, the rest narrows it. */
export interface FaultScope {
  providers: readonly string[] | null;
  nodes: readonly string[] | null;
  /** Public names of models. */
  models: readonly string[] | null;
  workflows: readonly string[] | null;
  /** Share of the requests in scope, above 0 to 1. The same request is judged the same way at every attempt. */
  share: number;
}

/** A fault with its scope. */
export interface Fault {
  kind: FaultKind;
  scope: FaultScope;
  /** How late `slow-first-token` and `slow-link` are. */
  delayMs: number;
}

/** One attempt as a scope sees it. */
export interface FaultSubject {
  requestId: string;
  /** Public name. */
  model: string;
  workflow: string | undefined;
}

/** Whether the scope covers what a target stands on. A scope that names neither nodes nor providers covers all of both. */
export function coversBackend(scope: FaultScope, backend: { kind: "node" | "provider"; name: string }): boolean {
  if (scope.providers === null && scope.nodes === null) return true;
  const names = backend.kind === "provider" ? scope.providers : scope.nodes;
  return names !== null && isListed(names, backend.name);
}

/** Whether the scope covers whose request it is, its share left out. */
export function coversRequest(scope: FaultScope, { model, workflow }: FaultSubject): boolean {
  return isListed(scope.models, model) && (scope.workflows === null || isListed(scope.workflows, workflow ?? ""));
}

/** Whether a request falls into a share of all: by a hash of its id (FNV-1a), so that every attempt of it and every run of a test agree. */
export function isInShare(requestId: string, share: number): boolean {
  if (share >= 1) return true;
  let hash = 0x811c9dc5;
  for (let at = 0; at < requestId.length; at++) hash = Math.imul(hash ^ requestId.charCodeAt(at), 0x01000193);
  // The last bytes of the id barely reach the upper bits by themselves.
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  return ((hash ^ (hash >>> 12)) >>> 0) / 2 ** 32 < share;
}
