import type { KeyLimits } from "../../access/key-limits.ts";
import type { Keyring } from "../../access/keyring.ts";
import type { DirectNodeConfig } from "../../config/resolved.ts";
import type { Finding } from "../../continuity/alerts/alert-book.ts";
import {
  type EngineLatencyReading,
  findAwayNodes,
  findMissingModels,
  findOpenBreakers,
  findSlowEngines,
  type NodeReading,
} from "../../continuity/alerts/place-findings.ts";
import type { AlertRules } from "../../continuity/alerts/rules.ts";
import type { IsFiring, TrafficFindings } from "../../continuity/alerts/traffic-findings.ts";
import {
  findBudgets,
  findContingency,
  findDeepQueue,
  findEndingCertificates,
  findStoreTrouble,
  findWaitingApprovals,
} from "../../continuity/alerts/upkeep-findings.ts";
import type { WaitingApproval } from "../../continuity/approvals.ts";
import type { ScopeView } from "../../continuity/contingency-state.ts";
import type { Clock } from "../../lib/clock.ts";
import type { TargetHealths } from "../../routing/target-health.ts";
import type { Store } from "../../storage/store.ts";
import type { Links } from "../../tunnel/links.ts";
import type { Ledger } from "../../usage/record.ts";
import { viewBreakers } from "../breakers.ts";
import type { LiveCatalogue } from "../catalogue.ts";
import type { CertificateState } from "../certificate-state.ts";
import type { Directory } from "../directory.ts";
import type { EngineHealth } from "../engine-health.ts";
import type { Providers } from "../providers.ts";
import type { AgentAddresses } from "./agent-addresses.ts";
import { KeyBudgets, readProviderBudgets } from "./budget-readings.ts";
import { StoreWatch } from "./store-watch.ts";

/** The parts of a gateway in which something may be wrong. */
export interface WatchedParts {
  clock: Clock;
  catalogue: LiveCatalogue;
  directory: Directory;
  links: Links;
  /** Models that must be able to answer. */
  requiredModels(): readonly string[];
  /** Requests that wait, by model. */
  queues(): Iterable<{ model: string; depth: number }>;
  /** Those that the gateway reaches by URL. */
  directNodes: readonly DirectNodeConfig[];
  health: TargetHealths;
  engineHealth: Pick<EngineHealth, "latencies">;
  contingency: { view(): readonly ScopeView[] };
  approvals: { view(): { waiting: readonly WaitingApproval[] } };
  /** Null: none is configured. */
  providers: Pick<Providers, "views"> | null;
  keyring: Keyring;
  keyLimits: KeyLimits;
  store: Pick<Store, "health">;
  ledger: Pick<Ledger, "health">;
  certificates(): Array<CertificateState & { listener: string }>;
  traffic: TrafficFindings;
  addresses: AgentAddresses;
}

/** Everything that is asked, every few seconds, what it finds wrong. In memory all of it, but for the store's own word. */
export function createSources(
  parts: WatchedParts,
  rules: AlertRules,
): Array<(isFiring: IsFiring) => Iterable<Finding>> {
  const { clock, catalogue, health, contingency, traffic, addresses } = parts;
  const budgets = new KeyBudgets(parts.keyring, parts.keyLimits);
  const writing = new StoreWatch(
    () => parts.store.health(),
    () => parts.ledger.health(),
  );
  traffic.setRules(rules);
  return [
    () => findAwayNodes(readNodes(parts)),
    () =>
      findMissingModels(parts.requiredModels(), (name) => {
        const entry = catalogue.find(name) ?? catalogue.match(name);
        return entry?.targets.some((target) => target.canAccept()) ?? false;
      }),
    () => findOpenBreakers(viewBreakers(catalogue.targets(), health, clock)),
    (isFiring) => findSlowEngines(readLatencies(parts.engineHealth), rules["slow-engine"].threshold, isFiring),
    (isFiring) => traffic.find(isFiring, clock.monotonicMs()),
    (isFiring) => findDeepQueue(parts.queues(), rules["queue-depth"].threshold, isFiring),
    () => findContingency(contingency.view()),
    () => findWaitingApprovals(parts.approvals.view().waiting),
    () => findEndingCertificates(parts.certificates(), rules.certificate.threshold, clock.nowMs()),
    () => findBudgets(budgets.read(clock.nowMs()), rules.budget.threshold),
    () => findBudgets(readProviderBudgets(parts.providers?.views() ?? []), rules.budget.threshold),
    () => findStoreTrouble(writing.read(clock.monotonicMs())),
    () => addresses.take(),
  ];
}

function* readLatencies(engineHealth: WatchedParts["engineHealth"]): Generator<EngineLatencyReading> {
  for (const { node, engine, latency } of engineHealth.latencies()) {
    yield { node, engine, throughMs: latency.throughMs, engineMs: latency.engineMs, why: latency.text };
  }
}

function* readNodes({ directory, links, directNodes, catalogue }: WatchedParts): Generator<NodeReading> {
  for (const { id, name } of directory.nodes()) {
    const isServing = links.ofNode(id).some(({ state }) => state === "ready" || state === "draining");
    yield { name, isKnown: directory.hasConnectors(id), isServing };
  }
  for (const { name } of directNodes) {
    // The gateway reads them itself, as a connector of this name would.
    const isServing = catalogue.report(`file:${name}`)?.engines.some(({ ready }) => ready) ?? false;
    yield { name, isKnown: true, isServing };
  }
}
