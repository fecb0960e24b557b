/**
 * Who may connect: what the tunnel asks the gateway about nodes and connectors.
 *
 * `find` is synchronous and in memory, because it stands on the handshake's path; the gateway keeps it in step with the store.
 */
export interface ConnectorDirectory {
  /** The approved connector of this id (fingerprint of its public key), or undefined. */
  find(connectorId: string): DirectoryConnector | undefined;
  /**
   * Uses an invitation up and approves the connector, in one transaction. Called once the joiner has proved that it holds
   * the key. Null when the invitation is unknown, expired or used up; the joiner does not learn which. May reject; the
   * joiner is then told to try again.
   */
  redeem(redemption: Redemption): Promise<DirectoryNode | null>;
  /** A connector has connected with this epoch. Returns at once; the gateway writes it down when it likes. */
  seen(connectorId: string, epoch: number, remoteAddress: string): void;
}

export interface DirectoryNode {
  nodeId: string;
  nodeName: string;
}

export interface DirectoryConnector extends DirectoryNode {
  /** Raw Ed25519 public key, 32 bytes. */
  publicKey: Uint8Array;
  /** Highest epoch ever reported through `seen`. */
  lastEpoch: number;
}

export interface Redemption {
  invitationId: string;
  /** SHA-256 of the secret part. */
  secretHash: Uint8Array;
  connectorId: string;
  publicKey: Uint8Array;
  remoteAddress: string;
}
