import type { Exchanger } from "../lib/exchange.ts";

/**
 * A live tunnel connection between one connector of a node and this instance, seen from the gateway.
 *
 * `proxy`, `admin` and `routing` know only this; frames, sockets and the handshake are behind it, so that another carrier
 * can take their place.
 */
export interface Link extends Exchanger {
  readonly id: LinkId;
  /** Address the connector dialled from, as the gateway saw it. */
  readonly remoteAddress: string;
  readonly carrier: "direct" | "websocket";
  readonly connectedAtMs: number;
  readonly state: LinkState;
  /** Whether a new attempt may go here: ready, probed on the data path, below the connector's capacity. */
  canAccept(): boolean;
  /** Round trip in milliseconds over the control path. Rejects after `timeoutMs` (default 10 s) or when the link closes. */
  ping(timeoutMs?: number): Promise<number>;
  /** No new attempts; running ones finish, at most `drainMs` (default 10 min), then the link closes. Resolves when closed. */
  drain(drainMs?: number): Promise<void>;
  /** Ends the link and every attempt on it at once. Resolves when the socket is gone. */
  close(reason: LinkCloseReason): Promise<void>;
  stats(): LinkStats;
}

/** Identity of a link. A newer epoch replaces only the same (connector, slot). */
export interface LinkId {
  nodeId: string;
  connectorId: string;
  slot: number;
  epoch: number;
}

export type LinkState = "probing" | "ready" | "suspect" | "draining" | "closed";

export type LinkCloseReason = "superseded" | "removed" | "dead" | "drained" | "shutdown" | "protocol" | "peer";

export interface LinkStats {
  streamsActive: number;
  streamsTotal: number;
  bytesIn: number;
  bytesOut: number;
  lastPingMs: number | null;
}

/** What an agent says of its node, sent on the control channel after each change. All of it is hostile until parsed. */
export interface NodeReport {
  agentVersion: string;
  /** Versions of the operation and field tables that the agent enforces. */
  operationsVersion: number;
  fieldsVersion: number;
  hardware: { platform: string; arch: string; cpus: number; memoryBytes: number; gpus: string[] };
  engines: EngineReport[];
}

export interface EngineReport {
  /** Name of the engine on its node, unique there: `ollama`, `llama-server-2`. */
  name: string;
  kind: EngineKind;
  version: string | null;
  ready: boolean;
  /** Why it is not ready, in plain words, or null. */
  reason: string | null;
  /** Ids of operations (see dialects/operations.ts) that the agent accepts for this engine. */
  operations: string[];
  models: ModelReport[];
  /** Requests the engine can run at once, where it says so. */
  slots: number | null;
  /** It is up and loads its model; until it is done it answers nothing. Agents before 0.2 leave it out, and so they do with all below. */
  isLoading?: boolean | undefined;
  /** How busy it is; null where it does not say. */
  load?: EngineLoad | null | undefined;
  /** What is wrong with its version. */
  advisories?: EngineAdvisory[] | undefined;
}

/** How busy an engine says it is. Counts include requests that came to it past Postern. */
export interface EngineLoad {
  /** Requests under way. */
  running: number | null;
  /** Requests that wait inside the engine. */
  queued: number | null;
  /** Share of the key-value cache in use, 0 to 1. */
  kvUse: number | null;
}

/** A known fault of an engine's version. */
export interface EngineAdvisory {
  severity: "critical" | "high" | "medium" | "info";
  /** CVE number, or a short name of our own. */
  id: string;
  /** For people, in one sentence. */
  text: string;
  /** First version without it; null where none is known. */
  upgradeTo: string | null;
}

export type EngineKind = "ollama" | "llama-server" | "vllm" | "lm-studio" | "sglang" | "openai" | "embedded";

export interface ModelReport {
  /** The engine's own name of the model. */
  name: string;
  loaded: boolean | null;
  contextLength: number | null;
  sizeBytes: number | null;
  quantization: string | null;
  /** What the model is for, as far as the engine says; an empty list means unknown. */
  capabilities: string[];
  /** True for names that the engine forwards to somebody else's cloud (Ollama `:cloud`); counts as leaving. */
  remote: boolean;
  /** Architecture as the engine names it: `qwen3`, `llama`. Agents before 0.2 leave it out, and so they do with all below. */
  family?: string | null | undefined;
  /** As people write it: `8.2B`. */
  parameterSize?: string | null | undefined;
  /** The model that this one is an adapter (LoRA) or another instance of. */
  parent?: string | null | undefined;
}
