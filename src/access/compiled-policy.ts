import type { Operation } from "../dialects/operations.ts";
import { AddressSet } from "../lib/cidr.ts";
import { isListed } from "../lib/glob.ts";
import { DEFAULT_ENDPOINT } from "./endpoint.ts";
import type { LimitRules } from "./key-limits.ts";
import { type KeyPolicy, parsePolicy } from "./policy.ts";

/** A target as a policy sees it. */
export interface PolicyTarget {
  readonly backend: { readonly kind: "node" | "provider"; readonly name: string; readonly tags: readonly string[] };
  /** A request that goes there leaves the operator's own machines. */
  readonly leaves: boolean;
}

/** A policy in the form that the request path asks. It never changes; keys of equal policies share one. */
export class CompiledPolicy {
  readonly document: KeyPolicy;
  readonly limits: LimitRules;
  readonly mayPin: boolean;
  readonly #addresses: AddressSet | null;
  /** Ids of what it may call; null: everything. */
  readonly #operations: ReadonlySet<string> | null;

  constructor(document: KeyPolicy) {
    this.document = document;
    this.limits = document;
    this.mayPin = document.mayPin === true;
    this.#addresses = document.addresses === undefined ? null : AddressSet.of(document.addresses);
    this.#operations = document.operations === undefined ? null : new Set(document.operations);
  }

  /** Whether it opens something at that time (UTC). */
  stateAt(nowMs: number): "early" | "expired" | "ok" {
    const { notBeforeMs, expiresAtMs } = this.document;
    if (notBeforeMs !== undefined && nowMs < notBeforeMs) return "early";
    return expiresAtMs !== undefined && expiresAtMs <= nowMs ? "expired" : "ok";
  }

  mayComeFrom(address: string): boolean {
    return this.#addresses === null || this.#addresses.matches(address);
  }

  /** @param hashOf Hash of the public key of the caller's certificate, or null; asked only where it matters. */
  mayShow(hashOf: () => string | null): boolean {
    const { clientCertificates } = this.document;
    if (clientCertificates === undefined) return true;
    const hash = hashOf();
    return hash !== null && clientCertificates.includes(hash);
  }

  mayUseEndpoint(name: string): boolean {
    return (this.document.endpoints ?? ONLY_DEFAULT).includes(name);
  }

  /** Lists and the like have no dialect of their own: they go with any dialect of their family. */
  mayCall({ id, dialect, family }: Pick<Operation, "id" | "dialect" | "family">): boolean {
    if (this.#operations !== null && !this.#operations.has(id)) return false;
    const { dialects } = this.document;
    if (dialects === undefined) return true;
    return dialect === null ? dialects.some((one) => one.startsWith(`${family}-`)) : dialects.includes(dialect);
  }

  mayUseModel(model: string): boolean {
    return isListed(this.document.models, model);
  }

  /** Whether a request may leave the operator's own machines. */
  get mayLeave(): boolean {
    return this.document.mayLeave !== "no";
  }

  /** Whether it makes any difference between targets, besides whether they are the operator's own. */
  get hasTargetRules(): boolean {
    const { targets, prefer } = this.document;
    return targets !== undefined || (prefer !== undefined && prefer !== "none");
  }

  /** Whether a request may ever go there, apart from `mayLeave`; perhaps only once it is approved. */
  mayReach(target: PolicyTarget): boolean {
    const { targets, fallback } = this.document;
    if (targets !== undefined && !isAmong(targets, target.backend)) return false;
    return fallback !== "never" || !this.#isOtherSide(target);
  }

  /** Whether somebody must approve before a request goes there. */
  needsApproval(target: PolicyTarget): boolean {
    return this.document.fallback === "approval" && this.#isOtherSide(target);
  }

  /** Whether it is on the side that is not preferred. */
  #isOtherSide({ leaves }: PolicyTarget): boolean {
    const { prefer } = this.document;
    return prefer !== undefined && prefer !== "none" && leaves !== (prefer === "cloud");
  }

  /** -1, 0 or 1: which of two targets is tried first. */
  compare(a: PolicyTarget, b: PolicyTarget): number {
    const { prefer } = this.document;
    if (prefer === undefined || prefer === "none" || a.leaves === b.leaves) return 0;
    return a.leaves === (prefer === "cloud") ? -1 : 1;
  }
}

/** Whether one of the lists names it: a node by its name or a tag, a provider by its name. */
function isAmong(
  { nodes = [], tags = [], providers = [] }: NonNullable<KeyPolicy["targets"]>,
  { kind, name, tags: has }: PolicyTarget["backend"],
): boolean {
  if (kind === "provider") return isListed(providers, name);
  return isListed(nodes, name) || tags.some((tag) => has.includes(tag));
}

const ONLY_DEFAULT: readonly string[] = [DEFAULT_ENDPOINT.name];

/** Policies of which the compiled form is shared, at most. */
const MAX_SHARED = 1024;
const SHARED = new Map<string, CompiledPolicy>();

/** The policy behind a stored text. One that cannot be read allows nothing at all. */
export function compilePolicy(text: string): CompiledPolicy {
  const known = SHARED.get(text);
  if (known !== undefined) return known;
  const compiled = new CompiledPolicy(parsePolicy(text) ?? CLOSED);
  if (SHARED.size >= MAX_SHARED) SHARED.clear();
  SHARED.set(text, compiled);
  return compiled;
}

/** Of a damaged store, or of a newer Postern: expired since 1970. */
const CLOSED: KeyPolicy = { version: 1, models: [], operations: [], expiresAtMs: 1 };
