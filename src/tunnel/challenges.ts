import { randomBytes } from "node:crypto";
import type { HttpRequest } from "../http1/request.ts";
import type { Clock } from "../lib/clock.ts";
import { type Binding, offerBinding } from "./binding.ts";
import { AUTHORIZATION_SCHEME, HANDSHAKE_TIMEOUT_MS, HELLO_HEADER, NONCE_BYTES } from "./constants.ts";
import {
  type Challenge,
  chooseCapabilities,
  chooseVersion,
  type Hello,
  type Proof,
  type Refusal,
  readHello,
  readProof,
  refusal,
} from "./handshake.ts";
import type { Identity, Succession } from "./identity.ts";
import { Nonces } from "./nonces.ts";
import { Rate, RatePerName } from "./rate.ts";
import { gatewayTranscript, type Transcript } from "./transcript.ts";

/** Bounds on handshakes. All of them are per instance. */
export interface AcceptLimits {
  /** Challenges that wait for their proof. Default 2,048. */
  pending: number;
  /** Joins and role flips that run at once. Default 128. */
  concurrent: number;
  /** New handshakes from all addresses: so many at once, then so many a second (the accept ramp). Default 200 and 100. */
  burst: number;
  perSecond: number;
  /** New handshakes from one address (IPv6: one /64). Default 128 and 32; many agents may share one behind NAT. */
  addressBurst: number;
  addressPerSecond: number;
  /** Addresses that are remembered for it. Default 10,000. */
  addresses: number;
}

const ACCEPT_LIMITS: AcceptLimits = {
  pending: 2048,
  concurrent: 128,
  burst: 200,
  perSecond: 100,
  addressBurst: 128,
  addressPerSecond: 32,
  addresses: 10_000,
};

/** What a challenge was about, until its proof arrives. */
export interface Pending {
  hello: Hello;
  transcript: Transcript;
  binding: Binding;
  /** Capabilities in use on the link to be. */
  capabilities: string[];
}

export interface ChallengesOptions {
  identity: Identity;
  /** Successions from older identities to this one, oldest first. Default none. */
  chain?: Succession[];
  clock: Clock;
  /** The caller's address, with declared proxies taken into account. */
  addressOf(request: HttpRequest): string;
  /** Whether the connection comes from a declared proxy that terminates TLS. */
  isBehindProxy(request: HttpRequest): boolean;
  /** Whether this gateway answers to the name that an agent dialled (`host` or `host:port`). Default: any. */
  servesName?(name: string): boolean;
  limits?: Partial<AcceptLimits>;
}

/**
 * The first half of the handshake at the gateway: answers hellos with signed challenges, and finds what a proof is about.
 * Holds all bounds on handshakes. Says nothing about who is known here: that comes after the proof.
 */
export class Challenges {
  readonly #options: ChallengesOptions;
  readonly #limits: AcceptLimits;
  readonly #pending: Nonces<Pending>;
  readonly #rate: Rate;
  readonly #addressRate: RatePerName;
  /** Joins and role flips that run now; the acceptor counts them. */
  running = 0;
  isStopping = false;

  constructor(options: ChallengesOptions) {
    const { clock } = options;
    const limits = { ...ACCEPT_LIMITS, ...options.limits };
    this.#options = options;
    this.#limits = limits;
    this.#pending = new Nonces(clock, limits.pending, HANDSHAKE_TIMEOUT_MS);
    this.#rate = new Rate(clock, limits.burst, limits.perSecond);
    this.#addressRate = new RatePerName(clock, limits.addressBurst, limits.addressPerSecond, limits.addresses);
  }

  /** Challenges that wait for their proof. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Answers a hello. */
  issue(request: HttpRequest): Challenge | Refusal {
    const { identity } = this.#options;
    const trouble = this.#admitAnother(request);
    if (trouble !== null) return trouble;
    const text = request.header(HELLO_HEADER);
    const hello = readHello(text);
    if (hello === null || text === undefined) {
      return refusal("bad_request", "The hello is not one that this gateway understands", { permanent: true });
    }
    const version = chooseVersion(hello.protocol);
    if (version === null) {
      const hint = "The agent and the gateway are too far apart in version; upgrade the older one";
      return refusal("version_mismatch", hint, { permanent: true });
    }
    const capabilities = chooseCapabilities(hello);
    if ("unknown" in capabilities) {
      const hint = `The agent needs "${capabilities.unknown}", which this gateway does not have; upgrade the gateway`;
      return refusal("capability_unknown", hint, { permanent: true });
    }
    if (this.#options.servesName?.(hello.name) === false) {
      return refusal("bad_request", "This gateway does not answer to that name", { permanent: true });
    }
    const binding = offerBinding(request.socket, this.#options.isBehindProxy(request), hello.transport);
    if (binding === null) {
      return refusal("not_secure", "Agents connect over TLS, or in plain from the same machine", { permanent: true });
    }
    const nonce = randomBytes(NONCE_BYTES);
    const transcript: Transcript = {
      version,
      name: hello.name,
      agentNonce: hello.nonce,
      gatewayNonce: nonce,
      gatewayPublicKey: identity.publicKey,
      binding: binding.kind,
      bindingValue: binding.value,
      hello: text,
    };
    if (!this.#pending.put(nonce.toString("base64url"), { hello, transcript, binding, capabilities })) {
      return refusal("busy", "Too many handshakes at once", { retryAfterSeconds: spread(2) });
    }
    return {
      nonce,
      publicKey: identity.publicKey,
      chain: this.#options.chain ?? [],
      version,
      binding: binding.kind,
      signature: identity.sign(gatewayTranscript(transcript)),
    };
  }

  /** Bounds that are checked before anything is parsed. */
  #admitAnother(request: HttpRequest): Refusal | null {
    if (this.isStopping) {
      return refusal("shutting_down", "The gateway is going down", { retryAfterSeconds: spread(5) });
    }
    if (!this.#addressRate.take(networkOf(this.#options.addressOf(request)))) {
      return refusal("rate_limited", "Too many handshakes from this address", { retryAfterSeconds: spread(5) });
    }
    if (this.running >= this.#limits.concurrent || !this.#rate.take()) {
      return refusal("busy", "Too many handshakes at once", { retryAfterSeconds: spread(4) });
    }
    return null;
  }

  /** Finds what a proof is about. The nonce is used up whatever comes of it. */
  redeem(request: HttpRequest): { pending: Pending; proof: Proof } | Refusal {
    if (this.isStopping) {
      return refusal("shutting_down", "The gateway is going down", { retryAfterSeconds: spread(5) });
    }
    if (this.running >= this.#limits.concurrent) {
      return refusal("busy", "Too many handshakes at once", { retryAfterSeconds: spread(2) });
    }
    const [scheme, text, ...rest] = (request.header("authorization") ?? "").split(" ");
    if (scheme?.toLowerCase() !== AUTHORIZATION_SCHEME.toLowerCase() || rest.length > 0) return unauthorized();
    const proof = readProof(text);
    if (proof === null) return unauthorized();
    const pending = this.#pending.take(Buffer.from(proof.nonce).toString("base64url"));
    if (pending === undefined) return unauthorized();
    // Both requests must be tied to the same connection, where the binding is one that a connection has.
    const now = offerBinding(request.socket, this.#options.isBehindProxy(request), pending.hello.transport);
    if (now?.kind !== pending.binding.kind || !Buffer.from(now.value).equals(pending.binding.value)) {
      return unauthorized();
    }
    return { pending, proof };
  }
}

/** The one answer to every proof that does not hold, so that it does not tell why. */
export function unauthorized(): Refusal {
  return refusal("unauthorized", "The gateway does not know this agent", { retryAfterSeconds: 30 });
}

/** Seconds to wait, spread so that those who were refused together do not come back together. */
function spread(upToSeconds: number): number {
  return 1 + Math.round(Math.random() * upToSeconds * 10) / 10;
}

/** What counts as one address: with IPv6 whoever has one has the whole /64 around it. */
function networkOf(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail] = address.split("::");
  const groups = head === "" ? [] : head.split(":");
  const tailGroups = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = Array.from({ length: Math.max(0, 8 - groups.length - tailGroups.length) }, () => "0");
  return [...groups, ...middle, ...tailGroups].slice(0, 4).join(":");
}
