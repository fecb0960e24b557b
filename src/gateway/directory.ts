import type { ConnectorRecord, NodeRecord, Store } from "../storage/store.ts";
import type { ConnectorDirectory, DirectoryConnector, DirectoryNode, Redemption } from "../tunnel/directory.ts";

/** How often a connector's last contact is written down, at most. */
const TOUCH_EVERY_MS = 60_000;

/** What a directory tells its owner about. */
export interface DirectoryEvents {
  /** A connector joined; its node may be new to the catalogue. */
  joined(node: NodeRecord): void;
  /** A write that nobody waits for failed. */
  failed(what: string, error: unknown): void;
}

/**
 * Nodes and connectors in memory, in step with the store: the handshake asks here and never waits for a database.
 */
export class Directory implements ConnectorDirectory {
  readonly #store: Store;
  readonly #nowMs: () => number;
  readonly #events: DirectoryEvents;
  readonly #nodes = new Map<string, NodeRecord>();
  readonly #connectors = new Map<string, ConnectorRecord>();
  readonly #touchedAtMs = new Map<string, number>();

  constructor(store: Store, nowMs: () => number, events: DirectoryEvents) {
    this.#store = store;
    this.#nowMs = nowMs;
    this.#events = events;
  }

  /** Reads everything from the store. Rejects with `store_*` codes. */
  async load(): Promise<void> {
    for (const node of await this.#store.nodes.list()) this.#nodes.set(node.id, node);
    for (const connector of await this.#store.nodes.connectors()) this.#connectors.set(connector.id, connector);
  }

  nodes(): Iterable<NodeRecord> {
    return this.#nodes.values();
  }

  nodeName(nodeId: string): string | null {
    return this.#nodes.get(nodeId)?.name ?? null;
  }

  /** Whether an agent ever joined for the node, and is not forgotten. */
  hasConnectors(nodeId: string): boolean {
    for (const connector of this.#connectors.values()) if (connector.nodeId === nodeId) return true;
    return false;
  }

  addNode(node: NodeRecord): void {
    this.#nodes.set(node.id, node);
  }

  /** Forgets a node and its connectors. */
  removeNode(nodeId: string): void {
    this.#nodes.delete(nodeId);
    for (const [id, connector] of this.#connectors) if (connector.nodeId === nodeId) this.#connectors.delete(id);
  }

  find(connectorId: string): DirectoryConnector | undefined {
    const connector = this.#connectors.get(connectorId);
    const node = connector === undefined ? undefined : this.#nodes.get(connector.nodeId);
    if (connector === undefined || node === undefined) return undefined;
    return { nodeId: node.id, nodeName: node.name, publicKey: connector.publicKey, lastEpoch: connector.lastEpoch };
  }

  async redeem(redemption: Redemption): Promise<DirectoryNode | null> {
    const nowMs = this.#nowMs();
    const connector = {
      id: redemption.connectorId,
      publicKey: redemption.publicKey,
      createdAtMs: nowMs,
      lastSeenAtMs: nowMs,
      lastEpoch: 0,
    };
    const audited = this.#store.audited({
      atMs: nowMs,
      actor: { kind: "agent", id: connector.id, name: "agent", address: redemption.remoteAddress },
      action: "nodes.join",
      subject: `invitation ${redemption.invitationId}`,
      before: null,
      after: { connector: connector.id },
    });
    const node = await audited.nodes.redeemInvitation(redemption.invitationId, redemption.secretHash, connector, nowMs);
    if (node === null) return null;
    // Only the store knows whether the invitation was for pods, and whether the connector had joined before.
    const joined = (await this.#store.nodes.connectors()).find((one) => one.id === connector.id);
    if (joined === undefined) return null;
    this.#nodes.set(node.id, node);
    this.#connectors.set(joined.id, joined);
    this.#events.joined(node);
    return { nodeId: node.id, nodeName: node.name };
  }

  /** Ephemeral connectors that were not seen since `beforeMs`. */
  staleEphemerals(beforeMs: number): ConnectorRecord[] {
    return [...this.#connectors.values()].filter(
      (one) => one.isEphemeral && (one.lastSeenAtMs ?? one.createdAtMs) < beforeMs,
    );
  }

  /** Forgets a connector here and in the store; its key opens nothing any more. Rejects with `store_*` codes. */
  async forget(connectorId: string): Promise<void> {
    this.#connectors.delete(connectorId);
    this.#touchedAtMs.delete(connectorId);
    const audited = this.#store.audited({
      atMs: this.#nowMs(),
      actor: { kind: "gateway", id: null, name: "gateway", address: null },
      action: "nodes.forget-connector",
      subject: `connector ${connectorId}`,
      before: { connector: connectorId },
      after: null,
    });
    await audited.nodes.removeConnector(connectorId);
  }

  seen(connectorId: string, epoch: number): void {
    const connector = this.#connectors.get(connectorId);
    if (connector === undefined) return;
    const nowMs = this.#nowMs();
    const isNewEpoch = epoch > connector.lastEpoch;
    connector.lastEpoch = Math.max(connector.lastEpoch, epoch);
    connector.lastSeenAtMs = nowMs;
    if (!isNewEpoch && nowMs - (this.#touchedAtMs.get(connectorId) ?? 0) < TOUCH_EVERY_MS) return;
    this.#touchedAtMs.set(connectorId, nowMs);
    this.#store.nodes
      .touchConnector(connectorId, nowMs, connector.lastEpoch)
      .catch((error: unknown) => this.#events.failed("touch connector", error));
  }
}
