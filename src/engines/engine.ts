import type { EngineKind, EngineLoad, ModelReport } from "../tunnel/link.ts";

/** Reads from an engine while probing it: bounded, short, follows no redirect, sends the engine's key where there is one. */
export interface EngineProbe {
  /** Status, lower-case headers and at most `MAX_PROBE_BYTES` of body. Rejects when the engine cannot be reached in time. */
  get(path: string): Promise<ProbeAnswer>;
}

export interface ProbeAnswer {
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
  /** The body as JSON, or undefined where it is not. Hostile until a schema has read it. */
  json(): unknown;
}

export interface EngineIdentity {
  kind: EngineKind;
  /** As the server says it. */
  version: string | null;
  /** The oldest version that has what the server showed, where it does not say its version; else null or left out. */
  leastVersion?: string | null;
}

/** What the reader of an engine knows that the engine does not say. */
export interface ReadHints {
  /** Requests of ours run on it now. */
  isBusy: boolean;
}

export interface EngineState {
  ready: boolean;
  reason: string | null;
  /** It is up and loads its model. */
  isLoading: boolean;
  models: ModelReport[];
  slots: number | null;
  load: EngineLoad | null;
}

/**
 * What Postern knows about one kind of inference server. One folder per kind, each exporting one of these.
 *
 * Adapters hold no sockets and no state: they say which paths to read and what the answers mean.
 */
export interface EngineAdapter {
  readonly kind: EngineKind;
  /** Ports where a fresh install listens on loopback. */
  readonly defaultPorts: readonly number[];
  /** What it answers from memory at any time, without a model: its time is the engine's own (S0-24). */
  readonly healthPath: string;
  /** Decides whether the server behind the probe is of this kind, by what it says. Null when it is not. Does not throw on odd answers. */
  identify(probe: EngineProbe): Promise<EngineIdentity | null>;
  /** Readiness, models, loaded state and load. Never loads a model, and never keeps one from going to sleep. Does not throw. */
  read(probe: EngineProbe, identity: EngineIdentity, hints?: ReadHints): Promise<EngineState>;
  /** Ids of the operations this version of the engine speaks natively; some may be unknown to this program's tables. */
  operations(identity: EngineIdentity): readonly string[];
  /** Value of the `Host` header for an engine at this address (DESIGN §7). */
  hostHeader(url: URL): string;
}
