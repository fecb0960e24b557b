import type { AddressRule } from "./address-rule.ts";
import type { AddressRules } from "./address-rules.ts";
import type { Keyring } from "./keyring.ts";
import type { LiveKey } from "./live-key.ts";

/** Whom an address stands for, or why for nobody although a rule holds it. For the log only. */
export type AmbientIdentity =
  | { key: LiveKey; rule: AddressRule; failure: null }
  | { key: null; rule: AddressRule; failure: AmbientFailure };

type AmbientFailure =
  /** The request carries a credential, if only an empty or unknown one. */
  | "credential"
  /** A page in a browser sent it; whoever wrote that page is not who sits there. */
  | "browser"
  /** Somebody passed it on who is not a declared proxy, so the address is not the caller's. */
  | "undeclared_proxy"
  /** A declared proxy sent it, and does not say for whom. */
  | "proxy_itself"
  | "no_such_key"
  | "ambiguous_key"
  | "key_not_active";

/** How the caller's address was found. */
export type AddressSource = "peer" | "forwarded" | "proxy_itself" | "undeclared_proxy";

/**
 * Who is asking when nobody says so: clients that cannot send a key (most Ollama clients) are known by where they are.
 *
 * The least of all credentials, so everything else comes first: any header that could be a credential, any sign of a browser and
 * any doubt about the address end it.
 */
export class AmbientKeys {
  readonly #rules: AddressRules;
  readonly #keyring: Keyring;
  /** Ids by the names that rules give; good as long as the keyring has not changed. */
  #resolved = new Map<string, string | AmbientFailure>();
  #resolvedAt = -1;

  constructor(rules: AddressRules, keyring: Keyring) {
    this.#rules = rules;
    this.#keyring = keyring;
  }

  /** Null where no rule holds the address. */
  identify(
    address: string,
    source: AddressSource,
    endpoint: string,
    rawHeaders: readonly string[],
    nowMs: number,
  ): AmbientIdentity | null {
    const rule = this.#rules.ambient(address, endpoint, nowMs);
    if (rule === null) return null;
    if (source === "undeclared_proxy" || source === "proxy_itself") return { key: null, rule, failure: source };
    const doubt = findDoubt(rawHeaders);
    if (doubt !== null) return { key: null, rule, failure: doubt };
    return this.keyOf(rule, nowMs);
  }

  /** The key that an ambient rule names, if it is one that works. */
  keyOf(rule: AddressRule, nowMs: number): AmbientIdentity {
    const key = this.#keyring.find(rule.key ?? "") ?? this.#byName(rule.key ?? "");
    if (typeof key === "string") return { key: null, rule, failure: key };
    if (key.refusalAt(nowMs) !== null) return { key: null, rule, failure: "key_not_active" };
    return { key, rule, failure: null };
  }

  #byName(name: string): LiveKey | AmbientFailure {
    if (this.#resolvedAt !== this.#keyring.changes) {
      this.#resolved.clear();
      this.#resolvedAt = this.#keyring.changes;
    }
    let found = this.#resolved.get(name);
    if (found === undefined) {
      const [first, second] = this.#keyring.named(name);
      found = first === undefined ? "no_such_key" : second === undefined ? first.id : "ambiguous_key";
      this.#resolved.set(name, found);
    }
    return this.#keyring.find(found) ?? (found === "ambiguous_key" ? found : "no_such_key");
  }
}

const CREDENTIALS: ReadonlySet<string> = new Set([
  "authorization",
  "proxy-authorization",
  "x-api-key",
  "api-key",
  "x-goog-api-key",
  "cookie",
]);

/** Whether a request shows a credential or comes out of a browser. */
function findDoubt(rawHeaders: readonly string[]): "credential" | "browser" | null {
  for (let at = 0; at < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] ?? "").toLowerCase();
    if (CREDENTIALS.has(name)) return "credential";
    // Browsers send one of these with every request that a page makes to another site with a body.
    if (name === "origin" || name.startsWith("sec-fetch-")) return "browser";
  }
  return null;
}
