import type { AddressRule } from "../access/address-rule.ts";
import type { Endpoint } from "../access/endpoint.ts";
import type { PolicyTemplate } from "../access/policy.ts";
import type { ApprovalRules } from "../continuity/approvals.ts";
import type { ContingencyRules } from "../continuity/contingency-state.ts";
import type { DrillPlan } from "../continuity/drill/plan.ts";
import type { FieldPolicy } from "../dialects/field-policy.ts";
import type { Secret } from "../lib/secret.ts";
import type { Strategy } from "../routing/strategy.ts";
import type { PriceRule } from "../usage/price.ts";
import type { AgentConfig, EngineAddress } from "./agent-config.ts";
import type { AlertsConfig } from "./alerts.ts";
import type { ProviderConfig } from "./provider-config.ts";

/**
 * The configuration after every check: units parsed, files located, secrets read, defaults filled in.
 *
 * `schema.ts` is what people write; this is what the program reads. Nothing behind `loadConfig` looks at the raw form.
 */
export interface ResolvedConfig {
  /** The `postern.yaml` it was read from, absolute; null when there is none and everything is default. */
  file: string | null;
  /** Absolute path. Made with mode 0700 by `prepareDataFolder`, not by loading. */
  dataFolder: string;
  logLevel: LogLevel;
  gateway: GatewayConfig;
  /** Those that the file defines; they cannot be changed elsewhere. */
  endpoints: readonly FileEndpoint[];
  access: AccessConfig;
  storage: StorageConfig;
  /** Nodes that the gateway reaches by URL without an agent. */
  nodes: readonly DirectNodeConfig[];
  /** Clouds that may answer. */
  providers: readonly ProviderConfig[];
  /** Public names that stand for other names. A model that a node reports needs no entry. */
  models: readonly ModelConfig[];
  /** What keys may be made from, by name. */
  keyTemplates: ReadonlyMap<string, KeyTemplate>;
  /** In order of preference: the first that fits a model counts. */
  prices: readonly PriceRule[];
  continuity: ContinuityConfig;
  alerts: AlertsConfig;
  agent: AgentConfig;
}

/** What happens when providers or nodes are away. */
export interface ContinuityConfig {
  contingency: ContingencyRules;
  approvals: ApprovalRules;
  /** Failover drills that the file plans. */
  drills: readonly DrillPlan[];
}

/** A policy without points in time, and how long a key made from it works. */
export type KeyTemplate = PolicyTemplate & { expiresInMs?: number };

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** `host` is an IP address without brackets, or a name; `port` 0 lets the system choose (tests). */
export interface ListenAddress {
  host: string;
  port: number;
}

export interface GatewayConfig {
  listen: ListenAddress;
  /** Origin that callers and agents use, without a trailing slash (`https://ai.example.org`); null: the listener's own address. */
  publicUrl: string | null;
  tls: TlsConfig | null;
  /** A second public listener without TLS: ACME's questions, a redirect for browsers, and a refusal for all that carries a key. */
  plainListen: ListenAddress | null;
  /** Null: pages of other origins may not call. */
  cors: CorsConfig | null;
  /** A listener that takes agents' links and nothing else; null: they come in on the public one only. */
  agents: { listen: ListenAddress; tls: TlsFiles } | null;
  admin: AdminListenConfig;
  /** TLS-terminating proxies in front. Only these may say for whom they ask. Empty: none. */
  trustedProxies: readonly TrustedProxyConfig[];
  limits: LimitConfig;
  timeouts: TimeoutConfig;
  queue: QueueConfig;
  /** What callers may put into bodies. Each agent has a policy of its own, which is the ceiling on its machine. */
  fields: FieldPolicy;
  /** Ids of opt-in operations (dialects/operations.ts) that are served. */
  optional: readonly string[];
}

/** A proxy whose word about the caller counts, and what it must show for that. */
export interface TrustedProxyConfig {
  /** CIDR prefixes that it connects from, names already resolved. */
  ranges: readonly string[];
  /** The one header that it writes itself and that we read. */
  header: "x-forwarded-for" | "cf-connecting-ip";
  /** A header that it must send, its name in lower case. */
  secret: { header: string; value: Secret } | null;
  /** The Access application whose assertion its requests must carry. `keysFile` null: the team's own address. */
  access: { team: string; audience: string; keysFile: string | null } | null;
}

/** PEM files, absolute; read again when they change. */
export interface TlsFiles {
  certFile: string;
  keyFile: string;
}

/** TLS of the public listener. */
export interface TlsConfig {
  source: TlsFiles | AcmeConfig;
  minVersion: "1.2" | "1.3";
  /**
   * Null: callers are asked for no certificates. `caFile`, absolute: all must show one of these authorities; null: only
   * those must show one whose key has it in its policy.
   */
  clientCertificates: { caFile: string | null } | null;
  /** `max-age` of `Strict-Transport-Security`; 0: not sent. */
  hstsMs: number;
}

/** A certificate that is ordered and renewed by itself (RFC 8555). */
export interface AcmeConfig {
  /** URL of the directory. */
  directory: string;
  email: string | null;
  /** Lower case; at least one. The first is the certificate's common name. */
  domains: readonly string[];
  challenge: "http-01" | "tls-alpn-01";
  /** PEM file of the authority behind the directory's own certificate, absolute; null: the system's. */
  caFile: string | null;
}

export interface CorsConfig {
  /** Exactly as browsers send them. */
  origins: readonly string[];
  maxAgeMs: number;
}

interface AdminListenConfig {
  listen: ListenAddress;
  /** Null: it speaks plain HTTP, and must stay on loopback. */
  tls: TlsFiles | null;
  /** Host names, besides loopback ones and the listener's own address, under which it may be asked. */
  hosts: readonly string[];
}

/** Bounds of the whole process unless the name says otherwise. */
export interface LimitConfig {
  /** Largest request body. */
  bodyBytes: number;
  /** Sum of all request bodies held at one time; beyond it new bodies are refused with 503. */
  bodyMemoryBytes: number;
  /** Largest request head. */
  headersBytes: number;
  /** Most header fields of a request. */
  headerCount: number;
  /** Deepest nesting of a JSON body. */
  jsonDepth: number;
  /** Most values in a JSON body. */
  jsonValues: number;
  /** Open connections on one public listener. */
  connections: number;
  /** Open connections from one address, or one /64. Loopback and trusted proxies are not counted. */
  connectionsPerAddress: number;
  /** Least that a request body must arrive at, in bytes per second. */
  bodyRateBytes: number;
  /** Least that an answer must be taken at, in bytes per second. */
  readRateBytes: number;
  /** Inference requests running at one time. */
  requests: number;
  /** Inference requests running at one time with one key. */
  requestsPerKey: number;
  /** Inference requests running at one time for one caller's address, or one /64. Loopback is not counted. */
  requestsPerAddress: number;
  /** Attempts for one request. */
  attempts: number;
  /** Failed authentications per minute from one address before it gets 429. */
  authFailuresPerMinute: number;
  /** Tunnel handshakes under way at one time. */
  handshakes: number;
  /** Live links of all connectors. */
  links: number;
}

/** DESIGN §6 "Default times". All in milliseconds. */
export interface TimeoutConfig {
  connectMs: number;
  /** First token from a model that is loaded, or whose state is unknown, on a node of our own. */
  firstTokenMs: number;
  /** First token from a model that must be loaded first, plus `firstTokenColdPerGibMs` for each GiB of it. */
  firstTokenColdMs: number;
  firstTokenColdPerGibMs: number;
  firstTokenProviderMs: number;
  betweenTokensMs: number;
  betweenTokensProviderMs: number;
  /** A request from its first byte to its last. */
  totalMs: number;
  /** How long a response is held back for certainty before it is committed. */
  holdMs: number;
  /** How long a request waits for an engine that loads its model; 0: not at all. */
  loadingMs: number;
  /** Silence towards the caller before a keep-alive is sent. */
  keepAliveMs: number;
  /** A caller that neither sends nor takes a byte. */
  callerIdleMs: number;
  /** Head of a request, from the first byte to the last. */
  requestHeadMs: number;
  /** Body of a request, from the first byte to the last. */
  requestBodyMs: number;
  /** A kept connection on which no request comes. */
  idleMs: number;
  /** How long running requests may finish when a process or link drains. */
  drainMs: number;
}

/** Requests that wait because every target of their model is full, loads it, or sleeps. */
export interface QueueConfig {
  /** Most that wait at one time; 0: none. */
  requests: number;
  /** Most bytes of their bodies. */
  bytes: number;
  /** Longest wait for a free slot, from the request's arrival; 0: none. */
  waitMs: number;
  /** The same for a machine that is woken. */
  wakeMs: number;
  /** Turns that a key gets for each one of another, by the name of the key or of its workflow. Others have 1. */
  weights: ReadonlyMap<string, number>;
}

/** Where in the file something is defined, for refusals: `/etc/postern/postern.yaml:12`. */
interface FromFile {
  place: string;
}

export interface FileEndpoint extends Endpoint, FromFile {
  /** Its own certificate, shown to callers that ask for its host; null: the listener's. */
  tls: TlsFiles | null;
}
export interface FileRule extends AddressRule, FromFile {}

interface AccessConfig {
  /** `access.rules` and `access.ambient` together. */
  rules: readonly FileRule[];
}

/** Bounds of what is kept of prompts and answers. */
export interface CaptureConfig {
  maxRetentionMs: number;
  /** Most that is kept of one request, and of one answer. */
  itemBytes: number;
  totalBytes: number;
}

export interface StorageConfig {
  /** Null: nothing is captured, whatever a key says. */
  capture: CaptureConfig | null;
  /** Requests and attempts older than this are deleted (daily totals stay); null keeps them for ever. */
  requestRetentionMs: number | null;
  /** Entries of the audit trail older than this are deleted; null keeps them for ever. */
  auditRetentionMs: number | null;
  /** Longest time that a usage record may be in the operating system's cache only. 0: every record is synced. */
  syncEveryMs: number;
}

export interface DirectNodeConfig extends EngineAddress, FromFile {
  name: string;
  /** For the `targets` of policies. */
  tags: readonly string[];
  locality: "own" | "rented";
}

interface ModelConfig {
  name: string;
  /** In the order of the file. Empty where the name stands for itself. */
  targets: readonly ModelTarget[];
  /** Left out of lists. */
  isHidden: boolean;
  /** Null: `weighted` where there are weights, else `least-busy`. */
  strategy: Strategy | null;
  /** Changes that would leave it without a ready target are refused. */
  isRequired: boolean;
  /** Another target goes on with a stream that breaks off. */
  isRescued: boolean;
}

interface ModelTarget {
  /** The name under which a node or a provider offers it, or the provider's own. */
  model: string;
  /** Null: any node that offers it. */
  node: string | null;
  /** Null: any provider that offers it. */
  provider: string | null;
  /** Null: 1. */
  weight: number | null;
}
