import type { Moment } from "./contingency-state.ts";

/** Most approvals for a time that stand at once. */
const MAX_GRANTS = 256;

export interface ApprovalRules {
  /** Most requests that wait for one at one time. */
  requests: number;
  /** Longest wait, from the request's arrival. */
  waitMs: number;
}

/** A request that asks to be served by the side that its policy does not prefer. */
export interface ApprovalRequest {
  /** Of the request; the approval has the same. */
  id: string;
  /** What an approval for a time covers: the workflow, or the key where it has none. See `approvalScope`. */
  scope: string;
  keyId: string;
  model: string;
  /** Where it would go: the operator's own machines, or away from them. */
  to: "local" | "cloud";
}

export interface WaitingApproval extends ApprovalRequest {
  /** UTC. */
  sinceMs: number;
  untilMs: number;
}

/** An approval for a time. */
export interface ApprovalGrant {
  scope: string;
  by: string;
  sinceMs: number;
  untilMs: number;
}

export type ApprovalAnswer = "approved" | "denied" | "waiting" | "full";

/** Something that operators, logs and alerts are told. */
export type ApprovalEvent =
  | { kind: "asked"; request: ApprovalRequest }
  | { kind: "decided"; request: ApprovalRequest; isApproved: boolean; by: string }
  | { kind: "granted" | "revoked" | "expired"; scope: string; by: string };

interface Asked {
  request: ApprovalRequest;
  sinceMs: number;
  endsMs: number;
  answer: "waiting" | "approved" | "denied";
}

interface Grant {
  by: string;
  sinceMs: number;
  /** Monotonic. */
  endsMs: number;
}

/** What an approval for a time covers: a workflow by its name, a key by `key:ID`; no workflow has a colon in its name. */
export function approvalScope(workflow: string | undefined, keyId: string): string {
  return workflow ?? `key:${keyId}`;
}

/**
 * Who may fall back, and who asks to: requests whose policy says `fallback: approval` and whose preferred side cannot serve.
 *
 * In memory only: after a restart nothing is approved, which is the safe side. Every answer is about one request, or about one
 * workflow or key for a time. Pure: time is passed in; how long a request waits is the waiting room's business.
 */
export class Approvals {
  readonly #rules: ApprovalRules;
  readonly #onEvent: (event: ApprovalEvent) => void;
  readonly #asked = new Map<string, Asked>();
  readonly #grants = new Map<string, Grant>();

  /** @param onEvent Must not throw. */
  constructor(rules: ApprovalRules, onEvent: (event: ApprovalEvent) => void = () => {}) {
    this.#rules = rules;
    this.#onEvent = onEvent;
  }

  /** Whether the request was approved, or its scope is for now. Cheap: nothing is looked up while nothing is approved. */
  isApproved(id: string, scope: () => string, at: Moment): boolean {
    if (this.#asked.size > 0 && this.#asked.get(id)?.answer === "approved") return true;
    return this.#grants.size > 0 && this.#isGranted(scope(), at);
  }

  /** What an operator says to the request; the first time, it begins to wait. `leave` follows, whatever becomes of it. */
  ask(request: ApprovalRequest, at: Moment): ApprovalAnswer {
    if (this.#isGranted(request.scope, at)) return "approved";
    const known = this.#asked.get(request.id);
    if (known !== undefined) return known.answer;
    if (this.waiting >= this.#rules.requests) return "full";
    const endsMs = at.monotonicMs + this.#rules.waitMs;
    this.#asked.set(request.id, { request, sinceMs: at.nowMs, endsMs, answer: "waiting" });
    this.#onEvent({ kind: "asked", request });
    return "waiting";
  }

  /** The request is over, or needs none any more. Idempotent. */
  leave(id: string): void {
    this.#asked.delete(id);
  }

  /** The request that waits under this id. */
  find(id: string): ApprovalRequest | null {
    const found = this.#asked.get(id);
    return found?.answer === "waiting" ? found.request : null;
  }

  /** An operator's answer to one request. False: it does not wait (any more). */
  decide(id: string, isApproved: boolean, by: string): boolean {
    const found = this.#asked.get(id);
    if (found?.answer !== "waiting") return false;
    found.answer = isApproved ? "approved" : "denied";
    this.#onEvent({ kind: "decided", request: found.request, isApproved, by });
    return true;
  }

  /** Approves everything of a scope for a time, what waits included. It replaces an earlier one. False: too many scopes. */
  grant(scope: string, forMs: number, by: string, at: Moment): boolean {
    this.#dropExpired(at);
    if (!this.#grants.has(scope) && this.#grants.size >= MAX_GRANTS) return false;
    this.#grants.set(scope, { by, sinceMs: at.nowMs, endsMs: at.monotonicMs + forMs });
    this.#onEvent({ kind: "granted", scope, by });
    return true;
  }

  /** Takes an approval for a time back. Requests that run go on. False: there is none. */
  revoke(scope: string, by: string): boolean {
    if (!this.#grants.delete(scope)) return false;
    this.#onEvent({ kind: "revoked", scope, by });
    return true;
  }

  /** How many requests wait. */
  get waiting(): number {
    let count = 0;
    for (const { answer } of this.#asked.values()) if (answer === "waiting") count++;
    return count;
  }

  view(at: Moment): { waiting: WaitingApproval[]; grants: ApprovalGrant[] } {
    this.#dropExpired(at);
    const toWall = (endsMs: number) => Math.round(at.nowMs + endsMs - at.monotonicMs);
    return {
      waiting: [...this.#asked.values()]
        .filter(({ answer }) => answer === "waiting")
        .map(({ request, sinceMs, endsMs }) => ({ ...request, sinceMs, untilMs: toWall(endsMs) })),
      grants: [...this.#grants].map(([scope, { by, sinceMs, endsMs }]) => ({
        scope,
        by,
        sinceMs,
        untilMs: toWall(endsMs),
      })),
    };
  }

  #isGranted(scope: string, at: Moment): boolean {
    const grant = this.#grants.get(scope);
    if (grant === undefined) return false;
    if (grant.endsMs > at.monotonicMs) return true;
    this.#dropExpired(at);
    return false;
  }

  #dropExpired({ monotonicMs }: Moment): void {
    for (const [scope, { endsMs, by }] of this.#grants) {
      if (endsMs > monotonicMs) continue;
      this.#grants.delete(scope);
      this.#onEvent({ kind: "expired", scope, by });
    }
  }
}
