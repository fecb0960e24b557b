import { AddressSet } from "../lib/cidr.ts";
import { canonicalAddress } from "../lib/ip-address.ts";
import type { AddressRule } from "./address-rule.ts";

/** Why an address was refused. */
export interface Denial {
  /** `denied`: by a rule. `not_listed`: there are allow rules, and none holds it. `unreadable`: it is no address. */
  reason: "denied" | "not_listed" | "unreadable";
  /** The rule that decided; null where it was the absence of one. */
  rule: AddressRule | null;
}

/** What became of an address, in full, for people. */
export interface Verdict {
  denial: Denial | null;
  /** The allow rule that let it in; null where there is none and none is needed. */
  allowedBy: AddressRule | null;
  /** Whether allow rules make everybody else a stranger here. */
  isClosed: boolean;
}

/**
 * The rules about addresses, in memory and compiled: deciding touches no database and allocates nothing where the answer is yes.
 *
 * A deny rule wins over every allow rule. As soon as one allow rule is about an endpoint (or about all), only listed addresses
 * come in there. That stays so when the rule has expired: time must never open a door, only close one.
 */
export class AddressRules {
  #rules: readonly AddressRule[] = [];
  #everywhere: Scope = OPEN;
  #byEndpoint = new Map<string, Scope>();
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  /** Takes over what there is now. */
  replaceAll(rules: readonly AddressRule[], nowMs: number): void {
    this.#rules = rules;
    this.refresh(nowMs);
  }

  get rules(): readonly AddressRule[] {
    return this.#rules;
  }

  /** When the next rule expires; infinity where none does. */
  get nextExpiryMs(): number {
    return this.#nextExpiryMs;
  }

  /** Drops what has expired by now. `deny` does so by itself; this is for whoever ends what is under way. */
  refresh(nowMs: number): void {
    const groups = Map.groupBy(this.#rules, (rule) => rule.endpoint ?? "");
    this.#everywhere = compile(groups.get("") ?? [], nowMs);
    groups.delete("");
    this.#byEndpoint = new Map([...groups].map(([endpoint, rules]) => [endpoint, compile(rules, nowMs)]));
    this.#nextExpiryMs = this.#rules.reduce(
      (next, { expiresAtMs }) => (expiresAtMs !== null && expiresAtMs > nowMs ? Math.min(next, expiresAtMs) : next),
      Number.POSITIVE_INFINITY,
    );
  }

  /** Why the address may not use the endpoint now, or null where it may. */
  deny(address: string, endpoint: string, nowMs: number): Denial | null {
    if (nowMs >= this.#nextExpiryMs) this.refresh(nowMs);
    const everywhere = this.#everywhere;
    const here = this.#byEndpoint.get(endpoint) ?? OPEN;
    if (everywhere === OPEN && here === OPEN) return null;
    const denied = find(everywhere.deny, address) ?? find(here.deny, address);
    if (denied !== null) return { reason: "denied", rule: denied };
    if (everywhere.isClosed || here.isClosed) {
      if (everywhere.allow.set.matches(address) || here.allow.set.matches(address)) return null;
      return { reason: canonicalAddress(address) === null ? "unreadable" : "not_listed", rule: null };
    }
    // Nobody can say that a deny rule does not hold what is no address.
    return canonicalAddress(address) === null ? { reason: "unreadable", rule: null } : null;
  }

  /** The same with all that a person would ask next. Not for the request path. */
  explain(address: string, endpoint: string, nowMs: number): Verdict {
    const denial = this.deny(address, endpoint, nowMs);
    const here = this.#byEndpoint.get(endpoint) ?? OPEN;
    return {
      denial,
      allowedBy: denial === null ? (find(here.allow, address) ?? find(this.#everywhere.allow, address)) : null,
      isClosed: this.#everywhere.isClosed || here.isClosed,
    };
  }

  /** The ambient rule with the longest range that holds the address, those of the endpoint before those of all. */
  ambient(address: string, endpoint: string, nowMs: number): AddressRule | null {
    if (nowMs >= this.#nextExpiryMs) this.refresh(nowMs);
    return find((this.#byEndpoint.get(endpoint) ?? OPEN).ambient, address) ?? find(this.#everywhere.ambient, address);
  }
}

interface Compiled {
  set: AddressSet;
  rules: readonly AddressRule[];
}

interface Scope {
  allow: Compiled;
  deny: Compiled;
  ambient: Compiled;
  /** Whether there is an allow rule, expired or not. */
  isClosed: boolean;
}

const NOTHING: Compiled = { set: AddressSet.of([]), rules: [] };
const OPEN: Scope = { allow: NOTHING, deny: NOTHING, ambient: NOTHING, isClosed: false };

function compile(rules: readonly AddressRule[], nowMs: number): Scope {
  if (rules.length === 0) return OPEN;
  const isClosed = rules.some(({ effect }) => effect === "allow");
  const current = rules.filter(({ expiresAtMs }) => expiresAtMs === null || expiresAtMs > nowMs);
  function only(effect: AddressRule["effect"]): Compiled {
    const chosen = current.filter((rule) => rule.effect === effect);
    return chosen.length === 0 ? NOTHING : { set: AddressSet.of(chosen.map(({ range }) => range)), rules: chosen };
  }
  return { allow: only("allow"), deny: only("deny"), ambient: only("ambient"), isClosed };
}

function find({ set, rules }: Compiled, address: string): AddressRule | null {
  if (rules.length === 0) return null;
  return rules[set.find(address)] ?? null;
}
