import { CompiledPolicy } from "./compiled-policy.ts";
import { DEFAULT_ENDPOINT, type Endpoint } from "./endpoint.ts";
import { POLICY_VERSION } from "./policy.ts";

/** Where a request goes. */
export interface Place {
  endpoint: Endpoint;
  /** What the endpoint says to models and targets, besides what the key says. */
  policy: CompiledPolicy;
  /** The raw request target without the endpoint's prefix. Nothing was decoded or resolved. */
  target: string;
}

/**
 * All endpoints, in memory, and which of them a request is for.
 *
 * Hosts are compared as a whole, prefixes by whole segments on the raw bytes of the target: `/team-a` is not in `/team-ab`,
 * `/TEAM-A`, `/%74eam-a` or `//team-a`. What is left of a target must then be, letter by letter, the path of an operation, so a
 * prefix opens nothing that is not open without it.
 */
export class EndpointTable {
  readonly #publicHost: string | null;
  /** Within a host the longest prefix first. */
  #byHost = new Map<string, LiveEndpoint[]>();
  /** Those at our own names, the longest prefix first. */
  #unnamed: LiveEndpoint[] = [];
  #byName = new Map<string, Endpoint>();

  /** @param publicHost Host of `gateway.publicUrl`, lower case, or null. */
  constructor(publicHost: string | null, endpoints: readonly Endpoint[] = [DEFAULT_ENDPOINT]) {
    this.#publicHost = publicHost;
    this.replaceAll(endpoints);
  }

  /** Takes over what there is now. Where none is called `default`, the built-in one is added. */
  replaceAll(endpoints: readonly Endpoint[]): void {
    const hasDefault = endpoints.some(({ name }) => name === DEFAULT_ENDPOINT.name);
    const all = hasDefault ? endpoints : [DEFAULT_ENDPOINT, ...endpoints];
    this.#byName = new Map(all.map((one) => [one.name, one]));
    const ordered = all.map(compile).sort((a, b) => (b.endpoint.path?.length ?? 0) - (a.endpoint.path?.length ?? 0));
    this.#unnamed = ordered.filter(({ endpoint }) => endpoint.host === null);
    this.#byHost = Map.groupBy(
      ordered.filter(({ endpoint }) => endpoint.host !== null),
      ({ endpoint }) => endpoint.host ?? "",
    );
  }

  get(name: string): Endpoint | undefined {
    return this.#byName.get(name);
  }

  list(): Endpoint[] {
    return [...this.#byName.values()];
  }

  /** Whether an endpoint has this host to itself. */
  hasHost(host: string): boolean {
    return this.#byHost.has(host);
  }

  /**
   * Whether requests for this host are served here. A host that is not ours is refused, so that a page in somebody's browser
   * cannot reach a gateway on loopback or in a private network under a name of its own (DNS rebinding).
   *
   * @param host Lower case, without port.
   * @param localAddress Address of our end of the connection.
   */
  isOurs(host: string, localAddress: string | undefined): boolean {
    return this.#byHost.has(host) || this.#isOwnName(host, localAddress);
  }

  /**
   * The endpoint that a request is for, or null where none answers at that host and path.
   *
   * A host that endpoints name belongs to them alone; the others are at our own names.
   *
   * @param target The raw request target.
   */
  find(host: string, target: string, localAddress: string | undefined): Place | null {
    const named = this.#byHost.get(host);
    if (named !== undefined) return pick(named, target);
    return this.#isOwnName(host, localAddress) ? pick(this.#unnamed, target) : null;
  }

  #isOwnName(host: string, localAddress: string | undefined): boolean {
    return host === this.#publicHost || LOOPBACK_NAMES.has(host) || isAddress(host, localAddress);
  }
}

const LOOPBACK_NAMES: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

type LiveEndpoint = Pick<Place, "endpoint" | "policy">;

function compile(endpoint: Endpoint): LiveEndpoint {
  const { models, mayLeave, prefer, fallback, targets } = endpoint;
  const lists = { ...(models === null ? {} : { models }), ...(targets === null ? {} : { targets }) };
  return { endpoint, policy: new CompiledPolicy({ version: POLICY_VERSION, mayLeave, prefer, fallback, ...lists }) };
}

function pick(endpoints: readonly LiveEndpoint[], target: string): Place | null {
  for (const { endpoint, policy } of endpoints) {
    const { path } = endpoint;
    if (path === null) return { endpoint, policy, target };
    if (!target.startsWith(path)) continue;
    const next = target.charCodeAt(path.length);
    if (next === SLASH) return { endpoint, policy, target: target.slice(path.length) };
    if (Number.isNaN(next)) return { endpoint, policy, target: "/" };
    if (next === QUESTION) return { endpoint, policy, target: `/${target.slice(path.length)}` };
  }
  return null;
}

const SLASH = 0x2f;
const QUESTION = 0x3f;

function isAddress(host: string, address: string | undefined): boolean {
  if (address === undefined) return false;
  const plain = address.startsWith("::ffff:") ? address.slice(7) : address;
  return host === (plain.includes(":") ? `[${plain}]` : plain);
}
