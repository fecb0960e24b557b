import type { DirectNodeConfig } from "../config/resolved.ts";
import type { ConnectorRecord, InvitationRecord, NodeRecord } from "../storage/store.ts";
import type { Link, NodeReport } from "../tunnel/link.ts";
import type { LiveGateway } from "./context.ts";
import type { InvitationView, LinkView, NodeView } from "./contract-nodes.ts";

interface NodeFacts {
  node: NodeRecord;
  connectors: readonly ConnectorRecord[];
  invitations: readonly InvitationRecord[];
  live: LiveGateway | null;
  nowMs: number;
}

const UNKNOWN_ENGINE: Pick<NodeView["engines"][number], "slots" | "busy" | "latency"> = {
  slots: null,
  busy: 0,
  latency: null,
};

/** A node of the store, with what a running gateway sees of it. */
export function toNodeView({
  node,
  connectors,
  invitations,
  live,
  nowMs,
}: NodeFacts): Omit<NodeView, "isDrained" | "wake"> {
  const own = connectors.filter((connector) => connector.nodeId === node.id);
  const usable = invitations.filter(
    (one) => one.nodeId === node.id && one.expiresAtMs > nowMs && one.uses < one.maxUses,
  );
  const links = (live?.links() ?? []).filter((link) => link.id.nodeId === node.id && link.state !== "closed");
  const connected = new Set(links.map((link) => link.id.connectorId));
  const reports = [...connected].map((id) => live?.report(id) ?? null).filter((report) => report !== null);
  return {
    id: node.id,
    name: node.name,
    origin: "store",
    createdAtMs: node.createdAtMs,
    grants: node.grants,
    tags: node.tags,
    locality: node.locality,
    state: stateOf(live, links, own.length, usable.length),
    agentVersion: reports[0]?.agentVersion ?? null,
    hardware: reports[0]?.hardware ?? null,
    ...mergeReports(
      reports,
      (model) => live?.isGranted(node.id, model) ?? false,
      (engine) => live?.engineFacts(node.id, engine) ?? UNKNOWN_ENGINE,
    ),
    connectors: own.map(({ id, createdAtMs, lastSeenAtMs, isEphemeral }) => ({
      id,
      createdAtMs,
      lastSeenAtMs,
      isEphemeral,
    })),
    links: links.map(toLinkView),
    invitations: usable.map(toInvitationView),
  };
}

/** A node that `postern.yaml` names by URL. */
export function toDirectNodeView(
  node: DirectNodeConfig,
  live: LiveGateway | null,
): Omit<NodeView, "isDrained" | "wake"> {
  const offered = (live?.models() ?? []).flatMap((model) =>
    model.targets.filter((target) => target.node === node.name).map((target) => ({ model, target })),
  );
  const engines = new Map(offered.map(({ target }) => [target.engine, target]));
  // The gateway reads the one engine itself, as a connector of this name would.
  const said = live?.report(`file:${node.name}`)?.engines[0];
  return {
    id: node.name,
    name: node.name,
    origin: "file",
    createdAtMs: null,
    grants: null,
    tags: [...node.tags],
    locality: node.locality,
    state: live === null ? "unknown" : offered.some(({ target }) => target.ready) ? "ready" : "away",
    agentVersion: null,
    hardware: null,
    engines: [...engines.values()].map(({ engine, ready, reason }) => ({
      name: engine,
      kind: said?.kind ?? node.kind ?? "openai",
      version: said?.version ?? null,
      ready,
      reason,
      load: said?.load ?? null,
      ...(live?.engineFacts(`file:${node.name}`, engine) ?? UNKNOWN_ENGINE),
      advisories: said?.advisories ?? [],
    })),
    models: offered.map(({ target }) => ({
      name: target.engineModel,
      engine: target.engine,
      loaded: target.loaded,
      contextLength: target.contextLength,
      sizeBytes: target.sizeBytes,
      quantization: target.quantization,
      granted: true,
    })),
    connectors: [],
    links: [],
    invitations: [],
  };
}

/** An invitation as it may be shown: everything but its hash. */
export function toInvitationView(one: InvitationRecord): InvitationView {
  const { id, createdAtMs, expiresAtMs, maxUses, uses, isEphemeral } = one;
  return { id, createdAtMs, expiresAtMs, maxUses, uses, isEphemeral };
}

function stateOf(
  live: LiveGateway | null,
  links: readonly Link[],
  connectors: number,
  invitations: number,
): NodeView["state"] {
  if (links.some((link) => link.state === "ready")) return "ready";
  if (links.length > 0) return "connected";
  if (connectors === 0 && invitations > 0) return "invited";
  return live === null ? "unknown" : "away";
}

function toLinkView(link: Link): LinkView {
  const stats = link.stats();
  return {
    connectorId: link.id.connectorId,
    slot: link.id.slot,
    state: link.state,
    carrier: link.carrier,
    remoteAddress: link.remoteAddress,
    connectedAtMs: link.connectedAtMs,
    lastPingMs: stats.lastPingMs,
    streamsActive: stats.streamsActive,
  };
}

/** Connectors of one node may share engines (replicas of a pod), so equal names are one. */
function mergeReports(
  reports: readonly NodeReport[],
  isGranted: (model: string) => boolean,
  factsOf: (engine: string) => typeof UNKNOWN_ENGINE,
): Pick<NodeView, "engines" | "models"> {
  const engines = new Map<string, NodeView["engines"][number]>();
  const models = new Map<string, NodeView["models"][number]>();
  for (const engine of reports.flatMap((report) => report.engines)) {
    const { name, kind, version, ready, reason, load = null, advisories = [] } = engine;
    if (!engines.has(name))
      engines.set(name, { name, kind, version, ready, reason, load, ...factsOf(name), advisories });
    for (const model of engine.models) {
      const { contextLength, loaded, sizeBytes, quantization } = model;
      models.set(`${name}\n${model.name}`, {
        name: model.name,
        engine: name,
        loaded,
        contextLength,
        sizeBytes,
        quantization,
        granted: isGranted(model.name),
      });
    }
  }
  return { engines: [...engines.values()], models: [...models.values()] };
}
