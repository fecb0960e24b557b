import { formatAddress, joinWords, readAddress } from "../../lib/ip-address.ts";
import type { Finding } from "./alert-book.ts";

/** Connectors whose address is remembered, at most; beyond it the one that was seen first is forgotten. */
const MAX_CONNECTORS = 5_000;
/** Changes that wait to be told, at most. */
const MAX_CHANGES = 500;

/**
 * From which public address each agent connects. IPv4 and IPv6 are apart, because a machine with both may use either; of IPv6 only
 * the network counts, because the rest changes by itself.
 */
export class AddressWatch {
  readonly #known: Map<string, string>;
  #changes: Finding[] = [];
  #isDirty = false;

  /** @param known As `saved` gave it. */
  constructor(known: Readonly<Record<string, string>> = {}) {
    this.#known = new Map(Object.entries(known).slice(-MAX_CONNECTORS));
  }

  seen(connectorId: string, node: string, address: string): void {
    const source = networkOf(address);
    if (source === null) return;
    const { family, text: network } = source;
    const name = `${connectorId} ${family}`;
    const before = this.#known.get(name);
    if (before === network) return;
    this.#isDirty = true;
    this.#known.delete(name);
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_CONNECTORS && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(name, network);
    if (before === undefined || this.#changes.length >= MAX_CHANGES) return;
    this.#changes.push({
      rule: "address-changed",
      // With the address, so that a second change is another alert.
      key: `${node} ${network}`,
      summary: `Node ${node} connects from ${network}, and did from ${before} before`,
      labels: { node, from: before, to: network },
    });
  }

  /** Changes since the last call. Each is found once; the rule's `resolveAfter` says how long its alert lasts. */
  take(): Finding[] {
    const taken = this.#changes;
    this.#changes = [];
    return taken;
  }

  /** What is to be kept over a restart, where it changed since the last call; null where it did not. */
  takeUnsaved(): Record<string, string> | null {
    if (!this.#isDirty) return null;
    this.#isDirty = false;
    return Object.fromEntries(this.#known);
  }

  /** What was taken could not be kept: it is to be taken again. */
  notSaved(): void {
    this.#isDirty = true;
  }
}

// One thread, no await between filling and reading.
const words = new Uint32Array(4);

/** The address, or the /64 of an IPv6 one; null where the text is no address. */
function networkOf(address: string): { family: "v4" | "v6"; text: string } | null {
  const version = readAddress(address.replace(/%.*$/, ""), words);
  if (version === 0) return null;
  if (version === 4) return { family: "v4", text: formatAddress(4, BigInt(words[0] ?? 0)) };
  words.fill(0, 2);
  return { family: "v6", text: `${formatAddress(6, joinWords(words))}/64` };
}
