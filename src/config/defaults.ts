import type { AutomaticRule } from "../continuity/contingency-state.ts";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import { DEFAULT_ALERTS } from "./alerts.ts";
import type {
  CaptureConfig,
  ContinuityConfig,
  LimitConfig,
  ListenAddress,
  QueueConfig,
  ResolvedConfig,
  StorageConfig,
  TimeoutConfig,
} from "./resolved.ts";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const KIB = 1024;
const MIB = 1024 * KIB;

const DEFAULT_LISTEN: ListenAddress = { host: "127.0.0.1", port: 8400 };
const DEFAULT_ADMIN_LISTEN: ListenAddress = { host: "127.0.0.1", port: 8401 };

export const DEFAULT_LIMITS: LimitConfig = {
  bodyBytes: 32 * MIB,
  bodyMemoryBytes: 256 * MIB,
  headersBytes: 16 * KIB,
  headerCount: 100,
  jsonDepth: 64,
  jsonValues: 100_000,
  connections: 4000,
  connectionsPerAddress: 500,
  bodyRateBytes: KIB,
  readRateBytes: 8 * KIB,
  requests: 2000,
  requestsPerKey: 256,
  requestsPerAddress: 500,
  attempts: 6,
  authFailuresPerMinute: 30,
  handshakes: 64,
  links: 4000,
};

export const DEFAULT_TIMEOUTS: TimeoutConfig = {
  connectMs: 5 * SECOND,
  firstTokenMs: 60 * SECOND,
  firstTokenColdMs: 5 * MINUTE,
  firstTokenColdPerGibMs: 20 * SECOND,
  firstTokenProviderMs: 15 * SECOND,
  betweenTokensMs: 120 * SECOND,
  betweenTokensProviderMs: 60 * SECOND,
  totalMs: 60 * MINUTE,
  holdMs: 10 * SECOND,
  loadingMs: 2 * MINUTE,
  keepAliveMs: 15 * SECOND,
  callerIdleMs: 300 * SECOND,
  requestHeadMs: 15 * SECOND,
  requestBodyMs: 120 * SECOND,
  idleMs: 75 * SECOND,
  drainMs: 10 * MINUTE,
};

export const DEFAULT_QUEUE: QueueConfig = {
  requests: 512,
  bytes: 64 * MIB,
  waitMs: 60 * SECOND,
  wakeMs: 180 * SECOND,
  weights: new Map(),
};

/** What TLS and CORS are where the file turns them on and says no more. */
export const DEFAULT_EDGE = {
  minVersion: "1.3",
  hstsMs: 365 * DAY,
  directory: "https://acme-v02.api.letsencrypt.org/directory",
  challenge: "http-01",
  corsMaxAgeMs: 10 * MINUTE,
} as const;

/** Where the file turns capture on and says no more. */
export const DEFAULT_CAPTURE: CaptureConfig = { maxRetentionMs: 7 * DAY, itemBytes: 256 * KIB, totalBytes: 256 * MIB };

export const DEFAULT_STORAGE: StorageConfig = {
  capture: null,
  requestRetentionMs: 90 * DAY,
  auditRetentionMs: null,
  syncEveryMs: 1 * SECOND,
};

/** The automatic rule where the file turns it on and says no more. */
export const DEFAULT_AUTOMATIC: AutomaticRule = {
  failures: 3,
  withinMs: MINUTE,
  share: 0.5,
  holdMs: 5 * MINUTE,
  maxHoldMs: 60 * MINUTE,
};

export const DEFAULT_CONTINUITY: ContinuityConfig = {
  contingency: { rampMs: 10 * MINUTE, automatic: null, windows: [] },
  approvals: { requests: 100, waitMs: 5 * MINUTE },
  drills: [],
};

/** Everything at its default, for programs and tests that need no file. */
export function defaultConfig(dataFolder: string): ResolvedConfig {
  return {
    file: null,
    dataFolder,
    logLevel: "info",
    gateway: {
      listen: DEFAULT_LISTEN,
      publicUrl: null,
      tls: null,
      plainListen: null,
      cors: null,
      agents: null,
      admin: { listen: DEFAULT_ADMIN_LISTEN, tls: null, hosts: [] },
      trustedProxies: [],
      limits: DEFAULT_LIMITS,
      timeouts: DEFAULT_TIMEOUTS,
      queue: DEFAULT_QUEUE,
      fields: DEFAULT_FIELD_POLICY,
      optional: [],
    },
    endpoints: [],
    access: { rules: [] },
    storage: DEFAULT_STORAGE,
    nodes: [],
    providers: [],
    models: [],
    keyTemplates: new Map(),
    prices: [],
    continuity: DEFAULT_CONTINUITY,
    alerts: DEFAULT_ALERTS,
    agent: {
      gateway: null,
      node: null,
      discover: true,
      wakeOnLan: false,
      engines: [],
      started: [],
      embedded: { mode: "auto", modelPath: null },
      guard: { fields: DEFAULT_FIELD_POLICY, remoteModels: [] },
    },
  };
}
