import { randomBytes } from "node:crypto";
import type { AddressInfo, Server } from "node:net";
import type { AddressRule } from "../../src/access/address-rule.ts";
import type { AddressRules } from "../../src/access/address-rules.ts";
import type { Endpoint } from "../../src/access/endpoint.ts";
import { FailureLimiter } from "../../src/access/failure-limiter.ts";
import type { KeyRecord } from "../../src/access/key.ts";
import { createKey } from "../../src/access/key-format.ts";
import { KeyLimits, type Seed } from "../../src/access/key-limits.ts";
import { Keyring } from "../../src/access/keyring.ts";
import { Places } from "../../src/access/places.ts";
import type { KeyPolicy } from "../../src/access/policy.ts";
import { DEFAULT_CONTINUITY, DEFAULT_LIMITS, DEFAULT_QUEUE, DEFAULT_TIMEOUTS } from "../../src/config/defaults.ts";
import type { LimitConfig, QueueConfig, TimeoutConfig } from "../../src/config/resolved.ts";
import { Approvals } from "../../src/continuity/approvals.ts";
import { ContingencyBook } from "../../src/continuity/contingency-book.ts";
import { DEFAULT_FIELD_POLICY } from "../../src/dialects/field-policy.ts";
import type { CutReason } from "../../src/gateway/connection-guard.ts";
import { startPublicListener } from "../../src/gateway/public-listener.ts";
import type { HttpRequest } from "../../src/http1/request.ts";
import { ManualClock } from "../../src/lib/clock.ts";
import { createUuidV7 } from "../../src/lib/uuidv7.ts";
import type { Captures } from "../../src/proxy/captures.ts";
import { FaultInjector } from "../../src/proxy/fault-injector.ts";
import type { Origin } from "../../src/proxy/identify.ts";
import type { AttemptSummary, RequestSummary } from "../../src/proxy/observer.ts";
import { Pipeline } from "../../src/proxy/pipeline.ts";
import type { Catalogue, CatalogueEntry } from "../../src/proxy/target.ts";
import { DEFAULT_ROUTING, type ModelRouting } from "../../src/routing/strategy.ts";
import { TargetHealths } from "../../src/routing/target-health.ts";
import { type PriceRule, Prices } from "../../src/usage/price.ts";
import type { Ledger, RequestClosed, RequestOpened } from "../../src/usage/record.ts";
import { keyRecord } from "./key-record.ts";
import { PlayedTarget } from "./played-target.ts";
import { RawConnection } from "./raw-connection.ts";

/**
 * The data plane over a real listener, with targets that a test plays by hand and a clock that it moves.
 *
 * Differs from a gateway in that there is no tunnel, no store and no journal: records are kept in arrays.
 */
export interface DataPlane {
  readonly port: number;
  readonly clock: ManualClock;
  readonly keyring: Keyring;
  readonly keyLimits: KeyLimits;
  readonly addresses: AddressRules;
  readonly catalogue: Catalogue;
  readonly places: Places;
  readonly pipeline: Pipeline;
  readonly faults: FaultInjector;
  readonly contingency: ContingencyBook;
  readonly approvals: Approvals;
  readonly failovers: string[];
  readonly server: Server;
  readonly opened: RequestOpened[];
  readonly closed: RequestClosed[];
  readonly summaries: RequestSummary[];
  /** Every attempt that has ended. */
  readonly attempts: AttemptSummary[];
  readonly health: TargetHealths;
  /** Why connections were cut beside any request. */
  readonly cuts: CutReason[];
  /** A key that may use everything. */
  readonly key: string;
  readonly keyId: string;
  /** Adds a model with one played target per node name, or `provider/NAME`. */
  serve(model: string, ...nodes: string[]): PlayedTarget[];
  /** A key that may use these models (null: all), and pin. */
  addKey(models: string[] | null, policy?: Partial<KeyPolicy>): { key: string; id: string };
  /** Changes what the keyring holds of a key, as a gateway does once its store has the change. */
  changeKey(id: string, fields: Partial<KeyRecord>): void;
  /** Sends bytes on a new connection. */
  raw(bytes: string | Buffer): RawConnection;
  close(): Promise<void>;
}

export interface DataPlaneOptions {
  limits?: Partial<LimitConfig>;
  timeouts?: Partial<TimeoutConfig>;
  queue?: Partial<QueueConfig>;
  /** Default: nobody can be woken. */
  wake?: (nodeId: string) => boolean;
  publicHost?: string;
  endpoints?: readonly Endpoint[];
  rules?: readonly AddressRule[];
  /** Where callers come from, as the listener would have found it. Default: the connection's other end. */
  originOf?: (request: HttpRequest) => Origin;
  prices?: readonly PriceRule[];
  /** What keys had used before. */
  seeds?: Map<string, Seed>;
  /** Told of every request that is over. */
  observe?: (summary: RequestSummary) => void;
  /** Ids of opt-in operations that are served. Default none. */
  optedIn?: readonly string[];
  /** Default: nothing is captured. */
  captures?: Captures;
  /** How the models are routed. Default as where the operator says nothing. */
  routing?: ModelRouting;
  /** Whether streams that break off are gone on with. Default no. */
  isRescued?: boolean;
}

export async function startDataPlane(options: DataPlaneOptions = {}): Promise<DataPlane> {
  const clock = new ManualClock();
  const keyring = new Keyring();
  const keyLimits = new KeyLimits(options.seeds);
  const entries = new Map<string, CatalogueEntry>();
  const catalogue: Catalogue = {
    find: (model) => entries.get(model),
    match: () => undefined,
    list: () => entries.values(),
  };
  const opened: RequestOpened[] = [];
  const closed: RequestClosed[] = [];
  const summaries: RequestSummary[] = [];
  const attempts: AttemptSummary[] = [];
  const health = new TargetHealths();
  const cuts: CutReason[] = [];
  const ledger: Ledger = {
    open(record, then) {
      opened.push(record);
      if (then !== undefined) process.nextTick(then);
      return {
        close(record, then) {
          closed.push(record);
          if (then !== undefined) process.nextTick(then);
        },
      };
    },
    health: () => ({ state: "ok", reason: null, waiting: 0, lost: 0 }),
  };
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options.timeouts };
  const places = new Places(options.publicHost ?? null, keyring);
  places.replaceAll(options.endpoints ?? [], options.rules ?? [], clock.nowMs());
  const originOf =
    options.originOf ?? (({ socket }) => ({ address: socket.remoteAddress ?? "", source: "peer" }) as const);
  const faults = new FaultInjector(clock);
  const failovers: string[] = [];
  const approvals = new Approvals(DEFAULT_CONTINUITY.approvals);
  const contingency = new ContingencyBook({
    rules: DEFAULT_CONTINUITY.contingency,
    clock,
    saved: null,
    onChange() {},
    save: async () => {},
    onFailure(error) {
      throw error;
    },
  });
  const pipeline = new Pipeline({
    clock,
    keyring,
    failures: new FailureLimiter({ maxFailures: limits.authFailuresPerMinute }),
    keyLimits,
    prices: new Prices(options.prices ?? []),
    catalogue,
    ledger,
    health,
    observer: {
      streamStarted() {},
      streamEnded() {},
      attemptEnded: (summary) => attempts.push(summary),
      failover: (from, to, reason) => failovers.push(`${from} > ${to}: ${reason}`),
      ended: (summary) => {
        summaries.push(summary);
        options.observe?.(summary);
      },
    },
    limits,
    timeouts,
    queue: { ...DEFAULT_QUEUE, ...options.queue },
    wake: options.wake ?? (() => false),
    fields: DEFAULT_FIELD_POLICY,
    faults,
    contingency,
    approvals,
    approvalWaitMs: DEFAULT_CONTINUITY.approvals.waitMs,
    optedIn: new Set(options.optedIn),
    captures: options.captures ?? null,
    newId: createUuidV7(),
    random: () => 0.5,
    places,
  });
  const { server, http } = await startPublicListener({
    listen: { host: "127.0.0.1", port: 0 },
    tls: null,
    maxConnections: limits.connections,
    maxHeadBytes: limits.headersBytes,
    requestHeadMs: timeouts.requestHeadMs,
    requestBodyMs: timeouts.requestBodyMs,
    onRequest: (request, response) => pipeline.handle(request, response, originOf(request)),
    idleMs: timeouts.idleMs,
    clock,
    guard: null,
    onUpgrade: (_request, socket) => socket.destroy(),
    onCut: (reason) => cuts.push(reason),
  });
  const { port } = server.address() as AddressInfo;

  function addKey(models: string[] | null, policy: Partial<KeyPolicy> = {}) {
    const { key, id, hash } = createKey((size) => randomBytes(size));
    const words = { ...(models === null ? {} : { models }), mayPin: true, ...policy };
    keyring.put(keyRecord({ id, name: id, hash, createdAtMs: clock.nowMs() }, words));
    return { key: key.reveal(), id };
  }
  const main = addKey(null);

  return {
    port,
    clock,
    keyring,
    keyLimits,
    addresses: places.rules,
    catalogue,
    places,
    pipeline,
    faults,
    contingency,
    approvals,
    failovers,
    server,
    opened,
    closed,
    summaries,
    attempts,
    health,
    cuts,
    key: main.key,
    keyId: main.id,
    addKey,
    changeKey(id, fields) {
      const key = keyring.find(id);
      if (key === undefined) throw new Error(`no key ${id}`);
      keyring.put({ ...key.record, ...fields });
    },
    serve(model, ...nodes) {
      const targets = nodes.map((node) => new PlayedTarget(model, node, () => pipeline.targetsChanged()));
      const createdAtMs = clock.nowMs();
      const facts = { sizeBytes: null, contextLength: null, quantization: null, capabilities: [], isLoaded: true };
      const routing = options.routing ?? DEFAULT_ROUTING;
      const isRescued = options.isRescued ?? false;
      entries.set(model, {
        name: model,
        targets,
        routing,
        isRescued,
        listed: () => ({ id: model, createdAtMs, ...facts }),
      });
      return targets;
    },
    raw: (bytes) => new RawConnection(port, bytes),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        http.closeAll();
      }),
  };
}
