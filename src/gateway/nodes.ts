import type { Logger } from "pino";
import { refuseTwice } from "../config/refuse-twice.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { toPosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import type { Closers } from "../lib/closers.ts";
import { STEERING_SETTING } from "../routing/steering.ts";
import { SteeringBook } from "../routing/steering-book.ts";
import type { Store } from "../storage/store.ts";
import { Links } from "../tunnel/links.ts";
import type { Prices } from "../usage/price.ts";
import { LiveCatalogue } from "./catalogue.ts";
import type { DirectNode } from "./direct-nodes.ts";
import { Directory } from "./directory.ts";
import { forgetEphemeralConnectors } from "./ephemeral-connectors.ts";
import { LinkReach } from "./link-reach.ts";
import { ModelOwners } from "./model-owners.ts";
import type { Providers } from "./providers.ts";
import { SleepingNodes } from "./sleeping-nodes.ts";

/** What the nodes of a gateway are made from. */
export interface NodesParts {
  config: ResolvedConfig;
  store: Store;
  prices: Prices;
  clock: Clock;
  log: Logger;
  /** Gets what has to be closed, links left out: they end with the listener that took them in. */
  closers: Closers;
  /** An agent is there, from this address. Must not throw. */
  onAgentAddress(connectorId: string, node: string, address: string): void;
  /** A link of a node takes attempts. */
  onNodeReady(nodeId: string): void;
}

/** Where models run, as the rest of the gateway sees it. */
export interface Nodes {
  catalogue: LiveCatalogue;
  directory: Directory;
  links: Links;
  /** Null where the configuration names none. */
  providers: Providers | null;
  steering: SteeringBook;
}

/**
 * Puts the nodes together: who may connect, what is connected, what the configuration names by URL, and the models of all of
 * them. Direct nodes have been asked once when it resolves.
 *
 * Rejects with `store_*` codes, and with `config_invalid` where a name is in the file and in the store.
 */
export async function openNodes(parts: NodesParts): Promise<Nodes> {
  const { config, store, prices, clock, log, closers, onAgentAddress, onNodeReady } = parts;
  function warn(what: string) {
    return (error: unknown) => log.warn({ error: toPosternError(error).message }, what);
  }
  const directNodes = new Map<string, DirectNode>();
  const catalogue: LiveCatalogue = new LiveCatalogue(
    (nodeId, engine, connectorIds) => {
      const direct = directNodes.get(nodeId);
      if (direct !== undefined)
        return { canAccept: () => true, start: (request, handler) => direct.connections.start(request, handler) };
      return new LinkReach(links, nodeId, engine, connectorIds);
    },
    await ModelOwners.load(store.settings, warn("model owners not written")),
    () => clock.nowMs(),
  );
  const directory: Directory = new Directory(store, () => clock.nowMs(), {
    joined: (node) => {
      catalogue.setNode(node);
      log.info({ node: node.name }, "node joined");
    },
    failed: (what, error) => warn(`${what} not written`)(error),
  });
  await directory.load();
  refuseTwice("node", config.nodes, [...directory.nodes()]);
  const links = new Links(clock, directory, {
    onLinkReady: (link) => {
      const node = directory.nodeName(link.id.nodeId);
      log.info({ node, slot: link.id.slot, from: link.remoteAddress }, "link ready");
      onAgentAddress(link.id.connectorId, node ?? "", link.remoteAddress);
      onNodeReady(link.id.nodeId);
    },
    onReport: (nodeId, connectorId, report) => {
      catalogue.setReport(nodeId, connectorId, report);
      sleeping.reported(nodeId, report);
      links.tellModels(nodeId, ...catalogue.verdictOn(nodeId, connectorId));
    },
    onLinkClosed: (link, reason, detail) => {
      log.info({ node: directory.nodeName(link.id.nodeId), slot: link.id.slot, reason, detail }, "link closed");
    },
  });
  closers.add(
    forgetEphemeralConnectors(
      {
        directory,
        isConnected: (connectorId) => links.ofConnector(connectorId).length > 0,
        onForgotten: (connectorId) => catalogue.dropReport(connectorId),
        onFailure: warn("ephemeral connector not forgotten"),
      },
      clock,
    ),
  );
  for (const node of directory.nodes()) catalogue.setNode(node);
  catalogue.setAliases(config.models);
  const steering = new SteeringBook(await store.settings.get(STEERING_SETTING), (now) => {
    catalogue.setSteering(now);
    for (const { id } of links.all()) {
      const report = catalogue.report(id.connectorId);
      if (report !== null) sleeping.reported(id.nodeId, report);
    }
  });
  if (!steering.isReadable) log.warn("what was saved of drained nodes and weights is not readable: none counts");
  catalogue.setSteering(steering.steering);
  const sleeping = new SleepingNodes({
    settings: store.settings,
    catalogue,
    steering: () => steering.steering,
    onFailure: warn("models of a node that can be woken not written"),
  });
  await sleeping.load();
  if (config.nodes.length > 0) {
    // Loaded only where it is needed: the HTTP client behind it is a tenth of a gateway's memory.
    const { DirectNode: Node } = await import("./direct-nodes.ts");
    for (const node of config.nodes) {
      const id = `file:${node.name}`;
      const direct = new Node(node, config.gateway.timeouts.connectMs, clock, (report) =>
        catalogue.setReport(id, id, report),
      );
      directNodes.set(id, direct);
      closers.add(() => direct.stop());
      const { name, tags, locality } = node;
      catalogue.setNode({ id, name, grants: ["*"], tags, locality });
      await direct.start();
    }
  }
  let providers: Providers | null = null;
  if (config.providers.length > 0) {
    const { openProviders } = await import("./providers.ts");
    providers = openProviders({ configs: config.providers, catalogue, prices, clock, log, closers });
  }
  return { catalogue, directory, links, providers, steering };
}
