import type { Certificate } from "./programs.ts";

/** Something that stands between the load generator and the engine. */
export interface Peer {
  readonly name: PeerName;
  /** What it is, in one line of the report. */
  readonly describe: string;
  readonly isTls: boolean;
  /** Whether memory is measured there. */
  readonly hasMemory: boolean;
  /** Starts it in front of the engine. Rejects with the reason when it is not there; the run then goes on without it. */
  start(ground: Ground): Promise<RunningPeer>;
}

export type PeerName =
  | "direct"
  | "relay"
  | "relay-tls"
  | "haproxy"
  | "haproxy-tls"
  | "portkey"
  | "postern-direct"
  | "postern-tunnel"
  | "postern-tls-link"
  | "postern-tunnel-tls"
  | "postern-before";

/** What every peer finds when it starts. */
export interface Ground {
  enginePort: number;
  certificate: Certificate;
  /** Postern's launcher: compiled, as it is installed. */
  postern: string;
  /** The launcher of an earlier commit, or null. */
  before: string | null;
  /** Emptied at the start of a run. */
  folder: string;
}

export interface RunningPeer {
  port: number;
  isTls: boolean;
  /** Header lines that its callers send. */
  headers: readonly string[];
  /** Its processes, the one that callers reach first. */
  processes: readonly { role: "gateway" | "agent"; pid: number }[];
  version: string;
  stop(): Promise<void>;
}
