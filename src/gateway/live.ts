import type { KeyLimits } from "../access/key-limits.ts";
import type { Keyring } from "../access/keyring.ts";
import type { ApprovalDesk } from "../admin/approval-admin.ts";
import type { LiveAlerts, LiveGateway } from "../admin/context.ts";
import type { Status } from "../admin/contract-status.ts";
import type { LiveDrills } from "../admin/live-drills.ts";
import type { ContingencyBook } from "../continuity/contingency-book.ts";
import type { Clock } from "../lib/clock.ts";
import type { SteeringBook } from "../routing/steering-book.ts";
import type { Links } from "../tunnel/links.ts";
import type { Ledger } from "../usage/record.ts";
import type { AgentPackageSource } from "./agent-package.ts";
import type { LiveCatalogue } from "./catalogue.ts";
import type { Directory } from "./directory.ts";
import type { EngineHealth } from "./engine-health.ts";
import type { LivePlaces } from "./places.ts";
import { probeModel } from "./probe-model.ts";
import type { Waker } from "./waker.ts";

/** What the live part of the admin contract is made of. */
export interface LiveParts {
  clock: Clock;
  newId: () => string;
  keyring: Keyring;
  places: LivePlaces;
  keyLimits: KeyLimits;
  directory: Directory;
  links: Links;
  catalogue: LiveCatalogue;
  contingency: ContingencyBook;
  steering: SteeringBook;
  approvals: ApprovalDesk;
  drills: LiveDrills;
  waker: Waker;
  engineHealth: EngineHealth;
  ledger: Ledger;
  agentPackage: AgentPackageSource;
  alerts: LiveAlerts;
  status(): NonNullable<Status["gateway"]>;
}

/** A running gateway as the admin routes see it. */
export function createLiveGateway(parts: LiveParts): LiveGateway {
  const { clock, keyring, keyLimits, directory, links, catalogue, ledger } = parts;
  return {
    status: parts.status,
    ledgerTrouble: () => ledger.health().reason,
    links: () => links.all(),
    report: (connectorId) => catalogue.report(connectorId),
    isGranted: (nodeId, model) => catalogue.isGranted(nodeId, model),
    contingency: () => parts.contingency,
    steering: () => parts.steering,
    approvals: () => parts.approvals,
    drills: () => parts.drills,
    wake: (nodeId) => parts.waker.wake(nodeId),
    engineFacts: (nodeId, engine) => ({
      ...catalogue.loadOf(nodeId, engine),
      latency: parts.engineHealth.latencyOf(nodeId, engine),
    }),
    reviewModels: () =>
      [...catalogue.list()].map(({ name, targets }) => ({
        model: name,
        targets: targets.map((target) => ({
          backend: target.backend,
          label: target.backend.label,
          leaves: target.leaves,
          isReady: target.canAccept(),
          isTunnelled: target.backend.kind === "node" && directory.nodeName(target.backend.id) !== null,
        })),
      })),
    models: () => catalogue.views(),
    probeModel: (input, signal) => probeModel(input, signal, catalogue, clock, parts.newId),
    places: () => parts.places.places,
    placesChanged: () => parts.places.reload(),
    keyChanged(key) {
      keyring.put(key);
      if (key.revokedAtMs !== null) keyLimits.forget(key.id);
    },
    findKey(idOrName) {
      const [first, second] = keyring.named(idOrName);
      return keyring.find(idOrName)?.record ?? (second === undefined ? (first?.record ?? null) : null);
    },
    spending(keyId) {
      const { day, month } = keyLimits.spent(keyId, clock.nowMs());
      return {
        tokensToday: day.tokens,
        tokensThisMonth: month.tokens,
        costMicrosToday: day.costMicros,
        costMicrosThisMonth: month.costMicros,
      };
    },
    nodeChanged(node) {
      directory.addNode(node);
      catalogue.setNode(node);
    },
    async nodeRemoved(node) {
      // The directory first: a connector that dials again at once must find itself unknown.
      directory.removeNode(node.id);
      const closed = links.ofNode(node.id).length;
      await links.removeNode(node.id);
      catalogue.removeNode(node.id);
      return closed;
    },
    alerts: parts.alerts,
    agentPackageSha256: async () => (await parts.agentPackage.read()).sha256,
  };
}
