import type { Logger } from "pino";
import { FailureLimiter } from "../access/failure-limiter.ts";
import { KeyLimits } from "../access/key-limits.ts";
import { Keyring } from "../access/keyring.ts";
import { LiveKey } from "../access/live-key.ts";
import { ownCopy } from "../config/config-changes.ts";
import { isLoopback } from "../config/listen-address.ts";
import { publicUrlOf } from "../config/load.ts";
import {
  type ListenRefusal,
  type Risk,
  refuseUnsafeAdminListen,
  refuseUnsafeListen,
} from "../config/refuse-unsafe-listen.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { TrafficFindings } from "../continuity/alerts/traffic-findings.ts";
import { PosternError, toPosternError } from "../errors.ts";
import { type Clock, systemClock } from "../lib/clock.ts";
import { Closers } from "../lib/closers.ts";
import { createUuidV7 } from "../lib/uuidv7.ts";
import { VERSION } from "../lib/version.ts";
import { FaultInjector } from "../proxy/fault-injector.ts";
import type { RequestSummary } from "../proxy/observer.ts";
import { Pipeline } from "../proxy/pipeline.ts";
import { TargetHealths } from "../routing/target-health.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";
import { openJournal } from "../storage/journal.ts";
import { openSqliteStore } from "../storage/sqlite/open-store.ts";
import { createInvitation } from "../tunnel/invitation.ts";
import type { Link } from "../tunnel/link.ts";
import { Prices } from "../usage/price.ts";
import { logRequest } from "./access-log.ts";
import { openAdmin } from "./admin.ts";
import { AgentPackageSource } from "./agent-package.ts";
import { AgentAddresses } from "./alerts/agent-addresses.ts";
import { countForAlerts } from "./alerts/count-request.ts";
import { openAlerts } from "./alerts/open-alerts.ts";
import { createSources, type WatchedParts } from "./alerts/sources.ts";
import { readBreakers, viewBreakers } from "./breakers.ts";
import { ConfigReload } from "./config-reload.ts";
import { openDrills } from "./drills/open-drills.ts";
import { EngineHealth } from "./engine-health.ts";
import { loadGatewayIdentity } from "./identity.ts";
import { viewListeners } from "./listener-views.ts";
import { createLiveGateway } from "./live.ts";
import { Metrics } from "./metrics.ts";
import { openNodes } from "./nodes.ts";
import { liveApprovals, openApprovals } from "./open-approvals.ts";
import { openCaptures } from "./open-captures.ts";
import { feedContingency, openContingency } from "./open-contingency.ts";
import { openProxies } from "./open-proxies.ts";
import { openPlaces } from "./places.ts";
import { openPublicDoor, portOf } from "./public-door.ts";
import { readSpending } from "./read-spending.ts";
import { reloadableSections } from "./reloadable.ts";
import { keepRetention } from "./retention.ts";
import { SummaryQueue } from "./summary-queue.ts";
import { Waker } from "./waker.ts";

/** Open connections to the admin listener from one address, so that nobody can shut the others out. */
const ADMIN_CONNECTIONS_PER_ADDRESS = 32;

export interface GatewayOptions {
  log: Logger;
  clock?: Clock;
  /** Reads the configuration again; left out: it stays as it is. Throws `config_invalid`. */
  load?: () => ResolvedConfig;
  /** What `--accept-risk` named. Default none. */
  acceptedRisks?: ReadonlySet<Risk>;
}

/** A gateway that serves. */
export interface RunningGateway {
  /** Origin under which callers and agents reach it. */
  readonly publicUrl: string;
  /** Origin of health and metrics. */
  readonly adminUrl: string;
  readonly socketPath: string;
  /** Reads the configuration again and takes over what can change while it runs. Never rejects: why not is in log and status. */
  reload(): Promise<void>;
  /** Refuses new requests, lets running ones finish for at most `drainMs` (default: the configuration's), then stops. */
  drain(drainMs?: number): Promise<void>;
  /** Ends everything now: callers of running streams are told. Idempotent. */
  stop(): Promise<void>;
}

/**
 * Composition root of the gateway: opens the store, the journal, the listeners and the tunnel, and wires them together.
 * What was opened is closed again when a later step fails, so that a failed start leaves nothing behind.
 *
 * @throws PosternError `store_*`, `port_taken`, `listen_failed`, `listen_unsafe`, `config_invalid`, `data_folder`.
 */
export async function startGateway(config: ResolvedConfig, options: GatewayOptions): Promise<RunningGateway> {
  const closers = new Closers();
  try {
    return await compose(config, options, closers);
  } catch (error) {
    await closers.close();
    throw error;
  }
}

async function compose(
  started: ResolvedConfig,
  { log, clock = systemClock, acceptedRisks = new Set(), load = () => started }: GatewayOptions,
  closers: Closers,
): Promise<RunningGateway> {
  // One object that everybody holds, so that a reload is seen wherever a setting is read in its place.
  const config = ownCopy(started);
  const { gateway } = config;
  const newId = createUuidV7();
  const startedAtMs = clock.nowMs();
  refuseUnsafe(refuseUnsafeAdminListen(gateway.admin.listen, gateway.admin.tls !== null));

  // In the machine's own time: what waits for a thread and a disk must not be called late because a clock was moved.
  const store = await openSqliteStore({ folder: config.dataFolder });
  closers.add(() => store.close());
  const journal = await openJournal({
    folder: config.dataFolder,
    usage: store.usage,
    clock,
    fsyncIntervalMs: config.storage.syncEveryMs,
  });
  closers.add(() => journal.stop());
  const onRetention = (error: unknown): void => log.warn({ error: inWords(error) }, "retention failed");
  const requests = (beforeMs: number) => store.usage.prune(beforeMs);
  const auditTrail = (beforeMs: number) => store.audit.prune(beforeMs, gatewayEntry("audit.prune", clock.nowMs()));
  closers.add(keepRetention(requests, () => config.storage.requestRetentionMs, clock, onRetention));
  closers.add(keepRetention(auditTrail, () => config.storage.auditRetentionMs, clock, onRetention));

  const keyring = new Keyring();
  const keys = await store.keys.list();
  keyring.replaceAll(keys);
  refuseUnsafe(
    refuseUnsafeListen({
      openEngines: isLoopback(gateway.listen.host) ? [] : await openEngines(config, clock),
      acceptedRisks,
      listen: gateway.listen,
      hasTls: gateway.tls !== null,
      hasTrustedProxy: gateway.trustedProxies.length > 0,
      activeKeys: keys.some((key) => new LiveKey(key).refusalAt(startedAtMs) === null) ? 1 : 0,
    }),
  );

  const identity = await loadGatewayIdentity(store.settings);
  const agentPackage = new AgentPackageSource();
  const livePlaces = await openPlaces({ config, store, keyring, clock, log });
  closers.add(() => livePlaces.stop());
  const prices = new Prices(config.prices);
  const addresses = await AgentAddresses.load(store.settings, (error) =>
    log.warn({ error: inWords(error) }, "addresses of agents not written"),
  );
  const { catalogue, directory, links, providers, steering } = await openNodes({
    config,
    store,
    prices,
    clock,
    log,
    closers,
    onAgentAddress: (connectorId, node, address) => addresses.seen(connectorId, node, address),
    onNodeReady: (nodeId) => waker.arrived(nodeId),
  });

  // The data plane.
  const approvals = openApprovals(config.continuity.approvals, log);
  const contingency = await openContingency({ config, store, clock, log, closers });
  const metrics = new Metrics({
    contingency: () => contingency.view(),
    approvals: () => approvals.waiting,
    links: () => links.all().map((link) => ({ node: directory.nodeName(link.id.nodeId) ?? "", state: link.state })),
    providers: () => providers?.views() ?? [],
    breakers: () => readBreakers(catalogue.targets(), health),
    queues: () => pipeline.queueDepths(),
    engines: () => engineHealth.latencies(),
  });
  const health = new TargetHealths(({ targetId, from, to, reason }) => {
    log[to === "open" ? "warn" : "info"]({ target: targetId, from, to, reason }, "breaker");
    pipeline.targetsChanged();
    drills.breakerChanged(targetId, to);
  });
  const traffic = new TrafficFindings(config.alerts.rules);
  const summaries = new SummaryQueue<RequestSummary>(clock, (summary) => {
    metrics.ended(summary);
    countForAlerts(traffic, summary, clock.monotonicMs());
    drills.seen(summary);
    logRequest(log, summary);
  });
  closers.add(() => summaries.flush());
  const keyLimits = new KeyLimits(
    await readSpending("key", store.usage, journal, startedAtMs, (error) =>
      log.warn({ error: inWords(error) }, "what keys used before is not known whole"),
    ),
  );
  providers?.begin(
    await readSpending("node", store.usage, journal, startedAtMs, (error) =>
      log.warn({ error: inWords(error) }, "what providers cost before is not known whole"),
    ),
  );
  const faults = new FaultInjector(clock);
  const { captures, files: captureFiles } = await openCaptures({
    config,
    keyring,
    clock,
    log,
    closers,
    onResult: metrics.captured,
  });
  const pipeline = new Pipeline({
    clock,
    keyring,
    places: livePlaces.places,
    failures: new FailureLimiter({ maxFailures: gateway.limits.authFailuresPerMinute }),
    keyLimits,
    prices,
    catalogue,
    ledger: journal,
    health,
    observer: {
      streamStarted: metrics.streamStarted,
      streamEnded: metrics.streamEnded,
      attemptEnded: (summary) => feedContingency(contingency, catalogue, summary),
      failover(from, to, reason) {
        metrics.failover(from, to, reason);
        traffic.failover(from, clock.monotonicMs());
      },
      ended(summary) {
        providers?.spend(summary.servedBy, summary.closed?.costMicros ?? 0);
        summaries.add(summary);
      },
    },
    captures,
    limits: gateway.limits,
    timeouts: gateway.timeouts,
    queue: gateway.queue,
    wake: (nodeId) => waker.wake(nodeId),
    fields: gateway.fields,
    faults,
    contingency,
    approvals,
    approvalWaitMs: config.continuity.approvals.waitMs,
    optedIn: new Set(gateway.optional),
    newId,
    random: Math.random,
  });
  catalogue.onChange(() => pipeline.targetsChanged());
  const drills = await openDrills({
    config,
    closers,
    clock,
    log,
    newId,
    store,
    faults,
    catalogue,
    contingency,
    keyring,
    places: livePlaces.places,
    journal,
    pipeline,
    flush: () => summaries.flush(),
  });
  const waker = new Waker({
    clock,
    log,
    steering: () => steering.steering,
    send: (via, mac) => links.wake(via, mac),
    nodeName: (id) => directory.nodeName(id),
  });
  const engineHealth = new EngineHealth({
    clock,
    log,
    health,
    targets: () => [...catalogue.nodeTargets()].filter(({ backend }) => directory.nodeName(backend.id) !== null),
    revision: () => catalogue.revision,
    pingMs: (nodeId) => quickestPing(links.ofNode(nodeId)),
  });
  closers.add(() => engineHealth.stop());
  engineHealth.start();
  const proxies = await openProxies({ configs: gateway.trustedProxies, clock, log, closers });
  livePlaces.watch(() => pipeline.recheckPlaces());
  let isDraining = false;
  const door = await openPublicDoor({
    config,
    clock,
    log,
    closers,
    identity,
    directory,
    links,
    proxies,
    places: livePlaces,
    pipeline,
    agentPackage,
    isReady: () => notReady().length === 0,
    onCut: (reason) => metrics.refused(reason),
    newId,
  });
  const { listeners, callers, edge } = door;
  gateway.listen = { host: gateway.listen.host, port: portOf(listeners.public.server) };
  const publicUrl = publicUrlOf(config);
  const approvalDesk = liveApprovals(approvals, clock, () => pipeline.targetsChanged());
  const watched: WatchedParts = {
    clock,
    catalogue,
    directory,
    links,
    requiredModels: () => config.models.filter(({ isRequired }) => isRequired).map(({ name }) => name),
    queues: () => pipeline.queueDepths(),
    directNodes: config.nodes,
    health,
    engineHealth,
    contingency,
    approvals: approvalDesk,
    providers,
    keyring,
    keyLimits,
    store,
    ledger: journal,
    certificates: () => listeners.certificates(),
    traffic,
    addresses,
  };
  const alerts = await openAlerts({
    config: config.alerts,
    sources: (rules) => [() => drills.overdue(), ...createSources(watched, rules)],
    store: store.alerts,
    clock,
    random: Math.random,
    newId,
    log,
    closers,
    gateway: publicUrl,
    isWell: () => notReady().length === 0,
  });

  const reload = new ConfigReload({
    live: config,
    started,
    load,
    sections: reloadableSections({ config, places: livePlaces, listeners, catalogue, prices, edge, alerts, drills }),
    clock,
    log,
    audit: (entry) => store.audit.append(entry),
  });

  function notReady(): string[] {
    const reasons: string[] = [];
    if (isDraining) reasons.push("the gateway is draining");
    for (const { listener, notAfterMs, problem } of listeners.certificates()) {
      if (notAfterMs === null)
        reasons.push(`the ${listener} listener has no certificate yet${problem === null ? "" : `: ${problem}`}`);
    }
    const ledger = journal.health();
    if (ledger.state === "failing" && ledger.reason !== null) reasons.push(ledger.reason);
    return reasons;
  }

  // Seeing it and steering it.
  const { adminUrl, socketPath } = await openAdmin({
    version: VERSION,
    config,
    store,
    captures: captureFiles,
    clock,
    log,
    closers,
    guard: door.guard(ADMIN_CONNECTIONS_PER_ADDRESS),
    addressOf: (request) => callers.originOf(request).address,
    cameThroughProxy: callers.cameThroughProxy,
    notReadyReasons: notReady,
    async metrics() {
      summaries.flush();
      return { contentType: metrics.registry.contentType, text: await metrics.registry.metrics() };
    },
    mintInvitation: async () => createInvitation(identity.fingerprint),
    // What was just asked is in the report: a person looks right after trying.
    settleUsage: () => journal.drain().catch(() => {}),
    createLive: (adminListener) =>
      createLiveGateway({
        clock,
        newId,
        keyring,
        keyLimits,
        places: livePlaces,
        directory,
        links,
        catalogue,
        contingency,
        steering,
        approvals: approvalDesk,
        drills: drills.live,
        waker,
        engineHealth,
        ledger: journal,
        agentPackage,
        alerts: alerts.live,
        status: () => ({
          pid: process.pid,
          startedAtMs,
          publicUrl,
          adminUrl: adminListener().url,
          ready: notReady().length === 0,
          reasons: notReady(),
          isDraining,
          requestsActive: pipeline.running,
          queues: pipeline.queueDepths(),
          links: links.all().length,
          config: reload.state,
          listeners: viewListeners(config, listeners.all, adminListener()),
          breakers: viewBreakers(catalogue.targets(), health, clock),
          providers: providers?.views() ?? [],
        }),
      }),
  });
  closers.add(reload.watch());
  await drills.begin();
  log.info({ publicUrl, adminUrl, version: VERSION, dataFolder: config.dataFolder }, "gateway ready");

  let stopping: Promise<void> | null = null;
  async function stopAll(): Promise<void> {
    pipeline.stopAll();
    await closers.close();
    log.info("gateway stopped");
  }
  return {
    publicUrl,
    adminUrl,
    socketPath,
    async reload() {
      await reload.reload();
    },
    async drain(drainMs = gateway.timeouts.drainMs) {
      isDraining = true;
      door.stopAccepting();
      await pipeline.drain(drainMs);
      stopping ??= stopAll();
      await stopping;
    },
    stop() {
      isDraining = true;
      door.stopAccepting();
      stopping ??= stopAll();
      return stopping;
    },
  };
}

function refuseUnsafe(refusal: ListenRefusal | null): void {
  if (refusal === null) return;
  const { reason, hint, risk } = refusal;
  const way = risk === null ? "" : ` To listen all the same: --accept-risk=${risk}.`;
  throw new PosternError("listen_unsafe", { message: reason, hint: `${hint}${way}` });
}

function quickestPing(ofNode: readonly Link[]): number | null {
  const pings = ofNode.map((link) => link.stats().lastPingMs).filter((ms) => ms !== null);
  return pings.length === 0 ? null : Math.min(...pings);
}

/** An entry about what the gateway does by itself. */
function gatewayEntry(action: string, atMs: number): AuditDraft {
  const actor = { kind: "gateway", id: null, name: "gateway", address: null };
  return { atMs, actor, action, subject: "", before: null, after: null };
}

function inWords(error: unknown): string {
  const known = toPosternError(error);
  return known.cause === undefined
    ? `${known.code}: ${known.message}`
    : `${known.code}: ${known.message} (${String(known.cause)})`;
}

/** Loaded only where the question arises: with the engines' adapters comes an HTTP client of 7 MB. */
async function openEngines(config: ResolvedConfig, clock: Clock): Promise<string[]> {
  const { findOpenEngines } = await import("./open-engines.ts");
  return findOpenEngines(config, clock);
}
