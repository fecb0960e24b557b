import { AddressSet, holds, type Prefix, readPrefix } from "../lib/cidr.ts";
import { canonicalAddress } from "../lib/ip-address.ts";
import { atOnce, type Pieces } from "../lib/turns.ts";
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
  #byEndpoint: ReadonlyMap<string, Scope> = new Map();
  #nextExpiryMs = Number.POSITIVE_INFINITY;

  /** Takes over what there is now, at once. */
  replaceAll(rules: readonly AddressRule[], nowMs: number): void {
    this.#adopt(atOnce(compileAll(rules, nowMs)));
  }

  /**
   * Prepares the same in pieces, so that ten thousand rules keep nobody waiting.
   *
   * @param pause Lets others have their turn.
   * @returns Takes over what was prepared.
   */
  async prepare(rules: readonly AddressRule[], nowMs: number, pause: () => Promise<void>): Promise<() => void> {
    const pieces = compileAll(rules, nowMs);
    for (let step = pieces.next(); ; step = pieces.next()) {
      if (step.done === true) return () => this.#adopt(step.value);
      await pause();
    }
  }

  get rules(): readonly AddressRule[] {
    return this.#rules;
  }

  /** When the next rule expires; infinity where none does. */
  get nextExpiryMs(): number {
    return this.#nextExpiryMs;
  }

  /** Why the address may not use the endpoint now, or null where it may. */
  deny(address: string, endpoint: string, nowMs: number): Denial | null {
    const everywhere = this.#everywhere;
    const here = this.#byEndpoint.get(endpoint) ?? OPEN;
    if (everywhere === OPEN && here === OPEN) return null;
    const denied = find(everywhere.deny, address, nowMs) ?? find(here.deny, address, nowMs);
    if (denied !== null) return { reason: "denied", rule: denied };
    if (everywhere.isClosed || here.isClosed) {
      if (find(everywhere.allow, address, nowMs) !== null || find(here.allow, address, nowMs) !== null) return null;
      return { reason: canonicalAddress(address) === null ? "unreadable" : "not_listed", rule: null };
    }
    // Nobody can say that a deny rule does not hold what is no address.
    return canonicalAddress(address) === null ? { reason: "unreadable", rule: null } : null;
  }

  /** The same with all that a person would ask next. Not for the request path. */
  explain(address: string, endpoint: string, nowMs: number): Verdict {
    const denial = this.deny(address, endpoint, nowMs);
    const here = this.#byEndpoint.get(endpoint) ?? OPEN;
    const allowed = () => find(here.allow, address, nowMs) ?? find(this.#everywhere.allow, address, nowMs);
    return {
      denial,
      allowedBy: denial === null ? allowed() : null,
      isClosed: this.#everywhere.isClosed || here.isClosed,
    };
  }

  /** The ambient rule with the longest range that holds the address, those of the endpoint before those of all. */
  ambient(address: string, endpoint: string, nowMs: number): AddressRule | null {
    const here = this.#byEndpoint.get(endpoint) ?? OPEN;
    return find(here.ambient, address, nowMs) ?? find(this.#everywhere.ambient, address, nowMs);
  }

  #adopt({ rules, everywhere, byEndpoint, nextExpiryMs }: CompiledRules): void {
    this.#rules = rules;
    this.#everywhere = everywhere;
    this.#byEndpoint = byEndpoint;
    this.#nextExpiryMs = nextExpiryMs;
  }
}

interface CompiledRules {
  rules: readonly AddressRule[];
  everywhere: Scope;
  byEndpoint: ReadonlyMap<string, Scope>;
  nextExpiryMs: number;
}

interface Compiled {
  set: AddressSet;
  rules: readonly AddressRule[];
  prefixes: readonly Prefix[];
}

interface Scope {
  allow: Compiled;
  deny: Compiled;
  ambient: Compiled;
  /** Whether there is an allow rule, expired or not. */
  isClosed: boolean;
}

/** Ranges that are read in one piece: two milliseconds. */
const PIECE = 1000;
const NOTHING: Compiled = { set: AddressSet.of([]), rules: [], prefixes: [] };
const OPEN: Scope = { allow: NOTHING, deny: NOTHING, ambient: NOTHING, isClosed: false };

/** Yields between pieces. Leaves out what has expired by then. */
function* compileAll(rules: readonly AddressRule[], nowMs: number): Pieces<CompiledRules> {
  const byEndpoint = new Map<string, Scope>();
  for (const [endpoint, own] of Map.groupBy(rules, (rule) => rule.endpoint ?? "")) {
    byEndpoint.set(endpoint, yield* compileScope(own, nowMs));
  }
  const everywhere = byEndpoint.get("") ?? OPEN;
  byEndpoint.delete("");
  const nextExpiryMs = rules.reduce(
    (next, { expiresAtMs }) => (expiresAtMs !== null && expiresAtMs > nowMs ? Math.min(next, expiresAtMs) : next),
    Number.POSITIVE_INFINITY,
  );
  return { rules, everywhere, byEndpoint, nextExpiryMs };
}

function* compileScope(rules: readonly AddressRule[], nowMs: number): Pieces<Scope> {
  const isClosed = rules.some(({ effect }) => effect === "allow");
  const current = rules.filter((rule) => !isOver(rule, nowMs));
  return {
    allow: yield* compile(current.filter(({ effect }) => effect === "allow")),
    deny: yield* compile(current.filter(({ effect }) => effect === "deny")),
    ambient: yield* compile(current.filter(({ effect }) => effect === "ambient")),
    isClosed,
  };
}

function* compile(rules: readonly AddressRule[]): Pieces<Compiled> {
  if (rules.length === 0) return NOTHING;
  const prefixes: Prefix[] = [];
  for (const { range } of rules) {
    prefixes.push(mustRead(range));
    if (prefixes.length % PIECE === 0) yield;
  }
  return { set: new AddressSet(prefixes), rules, prefixes };
}

function mustRead(range: string): Prefix {
  const { prefix, fault } = readPrefix(range);
  if (prefix === null) throw new RangeError(`"${range}" ${fault}`);
  return prefix;
}

function isOver({ expiresAtMs }: AddressRule, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs;
}

/**
 * The rule with the longest range that holds the address and has not expired. Where the longest has, since the rules were compiled,
 * the others are gone through: that lasts until they are compiled again, and is only for the addresses that it held.
 */
function find({ set, rules, prefixes }: Compiled, address: string, nowMs: number): AddressRule | null {
  if (rules.length === 0) return null;
  const found = rules[set.find(address)];
  if (found === undefined || !isOver(found, nowMs)) return found ?? null;
  const { prefix } = readPrefix(address);
  let longest = -1;
  for (const [at, one] of prefixes.entries()) {
    const rule = rules[at];
    if (prefix === null || rule === undefined || isOver(rule, nowMs) || !holds(one, prefix)) continue;
    if (longest === -1 || one.length > (prefixes[longest]?.length ?? 0)) longest = at;
  }
  return rules[longest] ?? null;
}
