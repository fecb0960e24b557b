import type { Clock } from "../lib/clock.ts";
import type { AcceptedLink } from "./accept.ts";
import type { ConnectorDirectory } from "./directory.ts";
import { GatewayLink } from "./gateway-link.ts";
import { type Refusal, refusal } from "./handshake.ts";
import type { Link, LinkCloseReason, LinkId, NodeReport } from "./link.ts";

/** What the registry tells the gateway. None of them may throw. */
export interface LinkEvents {
  /** The link takes attempts from now on: its data path was probed. */
  onLinkReady?(link: Link): void;
  /** The link became suspect, ready again, or draining. */
  onLinkState?(link: Link): void;
  /** What an agent says of its node. Links of several connectors may report for one node. */
  onReport?(nodeId: string, connectorId: string, report: NodeReport): void;
  onLinkClosed?(link: Link, reason: LinkCloseReason, detail: string): void;
}

/**
 * All links of this instance.
 *
 * Registration never waits for an old link: the newer epoch of the same (connector, slot) takes the place at once, and the
 * old link is destroyed however dead it is (frp#5391). Only a draining link is left to finish beside its replacement.
 */
export class Links {
  readonly #clock: Clock;
  readonly #directory: ConnectorDirectory;
  readonly #events: LinkEvents;
  /** The link that holds each (connector, slot); draining links that were replaced are only in `#all`. */
  readonly #bySlot = new Map<string, GatewayLink>();
  readonly #byNode = new Map<string, Set<GatewayLink>>();
  readonly #all = new Set<GatewayLink>();
  /** Highest epoch per (connector, slot) since the start of this process. */
  readonly #epochs = new Map<string, number>();

  constructor(clock: Clock, directory: ConnectorDirectory, events: LinkEvents) {
    this.#clock = clock;
    this.#directory = directory;
    this.#events = events;
  }

  /** Null when a link of this identity may be registered; otherwise the refusal for its agent. */
  check(id: LinkId): Refusal | null {
    const known = this.#epochs.get(slotKey(id));
    // After a restart of the gateway only the store knows; slots share its number, and two of them may overtake each other.
    const floor = known ?? (this.#directory.find(id.connectorId)?.lastEpoch ?? 0) - EPOCH_SLACK;
    if (id.epoch > floor) return null;
    return refusal("stale_epoch", "This agent has connected with a higher epoch before", { epochFloor: floor });
  }

  /** Takes a link over whose handshake is done and whose roles have flipped. */
  register(accepted: AcceptedLink): Link {
    const { id } = accepted;
    const key = slotKey(id);
    this.#remember(key, id.epoch);
    const link = new GatewayLink({
      id,
      carrier: accepted.carrier,
      carrierKind: accepted.carrierKind,
      remoteAddress: accepted.remoteAddress,
      clock: this.#clock,
      events: {
        onReady: (ready) => this.#events.onLinkReady?.(ready),
        onReport: (from, report) => this.#events.onReport?.(from.id.nodeId, from.id.connectorId, report),
        onState: (changed) => this.#events.onLinkState?.(changed),
        onClosed: (closed, reason, detail) => this.#onClosed(closed, reason, detail),
      },
    });
    const old = this.#bySlot.get(key);
    this.#bySlot.set(key, link);
    this.#all.add(link);
    const ofNode = this.#byNode.get(id.nodeId) ?? new Set();
    ofNode.add(link);
    this.#byNode.set(id.nodeId, ofNode);
    if (old !== undefined && old.state !== "draining") detach(old.close("superseded"));
    this.#directory.seen(id.connectorId, id.epoch, accepted.remoteAddress);
    return link;
  }

  /**
   * The link of this node for a new attempt: the one with the fewest running streams that can take it. Null when none can.
   *
   * @param connectors Ids of the connectors that can reach the engine; all of the node's when left out.
   */
  pick(nodeId: string, connectors?: ReadonlySet<string>): Link | null {
    const links = this.#byNode.get(nodeId);
    if (links === undefined) return null;
    let best: GatewayLink | null = null;
    for (const link of links) {
      if (connectors !== undefined && !connectors.has(link.id.connectorId)) continue;
      if (link.canAccept() && (best === null || link.streamsActive < best.streamsActive)) best = link;
    }
    return best;
  }

  /** Whether a node has any link, in any state but `closed`. */
  isConnected(nodeId: string): boolean {
    return (this.#byNode.get(nodeId)?.size ?? 0) > 0;
  }

  /** All links of a node, in any state but `closed`. */
  ofNode(nodeId: string): Link[] {
    return [...(this.#byNode.get(nodeId) ?? [])];
  }

  /** How many links there are, in any state but `closed`. */
  get count(): number {
    return this.#all.size;
  }

  /** All links. */
  all(): Link[] {
    return [...this.#all];
  }

  /** Links of a connector, in any state but `closed`. */
  ofConnector(connectorId: string): Link[] {
    return [...this.#all].filter((link) => link.id.connectorId === connectorId);
  }

  /** Ends all links of a node at once, with every attempt on them: it was removed. Resolves when the sockets are gone. */
  async removeNode(nodeId: string): Promise<void> {
    await Promise.all(this.ofNode(nodeId).map((link) => link.close("removed")));
  }

  /** Ends all links of a connector at once: it was removed. Resolves when the sockets are gone. */
  async removeConnector(connectorId: string): Promise<void> {
    await Promise.all(this.ofConnector(connectorId).map((link) => link.close("removed")));
  }

  /** Tells the agents of a node which of its models may be used. */
  tellModels(nodeId: string, granted: string[], refused: Array<{ name: string; reason: string }>): void {
    for (const link of this.#byNode.get(nodeId) ?? []) link.tellModels(granted, refused);
  }

  /** Asks the agents of a node to wake a machine on their network. Whether there was anybody to ask. */
  wake(nodeId: string, mac: string): boolean {
    const connectors = new Set<string>();
    for (const link of this.#byNode.get(nodeId) ?? []) {
      if (link.state === "draining" || connectors.has(link.id.connectorId)) continue;
      connectors.add(link.id.connectorId);
      link.wake(mac);
    }
    return connectors.size > 0;
  }

  /** Drains every link (see `Link.drain`) and resolves when all are closed. */
  async drain(drainMs?: number): Promise<void> {
    await Promise.all(this.all().map((link) => link.drain(drainMs)));
  }

  /** Ends every link now. Resolves when the sockets are gone. */
  async stop(): Promise<void> {
    await Promise.all(this.all().map((link) => link.close("shutdown")));
  }

  #remember(key: string, epoch: number): void {
    const known = this.#epochs.get(key) ?? 0;
    this.#epochs.delete(key);
    this.#epochs.set(key, Math.max(epoch, known));
    // Pods come and go: those that have not been seen for longest are left to the store's number.
    const oldest = this.#epochs.keys().next().value;
    if (this.#epochs.size > EPOCHS_LIMIT && oldest !== undefined) this.#epochs.delete(oldest);
  }

  #onClosed(link: GatewayLink, reason: LinkCloseReason, detail: string): void {
    const key = slotKey(link.id);
    this.#all.delete(link);
    if (this.#bySlot.get(key) === link) this.#bySlot.delete(key);
    const ofNode = this.#byNode.get(link.id.nodeId);
    ofNode?.delete(link);
    if (ofNode?.size === 0) this.#byNode.delete(link.id.nodeId);
    if (reason === "removed") this.#epochs.delete(key);
    this.#events.onLinkClosed?.(link, reason, detail);
  }
}

/** How far a connector's epoch may lie behind the stored one after a restart of the gateway: dials in flight then. */
const EPOCH_SLACK = 16;

/** (connector, slot) pairs whose epoch is remembered. */
const EPOCHS_LIMIT = 65_536;

function slotKey(id: LinkId): string {
  return `${id.connectorId}/${id.slot}`;
}

function detach(promise: Promise<unknown>): void {
  promise.catch(() => {});
}
