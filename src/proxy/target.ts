import type { ListedModel } from "../dialects/listed-model.ts";
import type { Exchanger } from "../lib/exchange.ts";
import type { Backend } from "../routing/backend.ts";
import type { ModelRouting } from "../routing/strategy.ts";
import type { EngineKind } from "../tunnel/link.ts";

/** What decides which fields a target knows: the kind of its engine, or a provider with a field table of its own. */
export type TargetKind = EngineKind | "anthropic" | "mistral";

/** Times of a target's own, in milliseconds. */
export interface TargetTimes {
  firstTokenMs: number;
  betweenTokensMs: number;
  /** Of an answer that is not streamed, to its end. */
  wholeMs: number;
}

/** A place that can answer a model, as the gateway's catalogue gives it out. Live: facts change under it. */
export interface Target extends Exchanger {
  /** Unique and stable: node or provider, engine and the engine's model name. */
  readonly id: string;
  /** Of the id (`hashText`). */
  readonly hash: number;
  readonly backend: Backend;
  readonly engine: string;
  /** Decides which fields it knows, and under which names. */
  readonly engineKind: TargetKind;
  readonly engineModel: string;
  /** Null where the engine does not say. */
  readonly isLoaded: boolean | null;
  readonly sizeBytes: number | null;
  /** Tokens that the model takes, prompt and answer together; null where the engine does not say. */
  readonly contextLength: number | null;
  /** Ids of the operations that it takes. */
  readonly operations: ReadonlySet<string>;
  /** A request that goes there leaves the operator's own machines: a provider, a rented node, or a model that the engine hands on to somebody else's cloud (Ollama `:cloud`). */
  readonly leaves: boolean;
  /** Null: those of the gateway for engines. */
  readonly times: TargetTimes | null;
  /** The engine is up and loads its model; it takes no attempts. */
  readonly isLoading: boolean;
  /** A stream was refused there for being asked for its usage, and answered without. Written by the relay. */
  isUsageRefused: boolean;
  /** Its machine is away, and can be woken. */
  readonly isAsleep: boolean;
  /** Whether a new attempt may go there now. */
  canAccept(): boolean;
  /** Requests at its engine: ours, counted by the relay through `began` and `ended`, and those that the engine says came past us. */
  readonly busy: number;
  /** Requests that its engine runs at once; null where nobody says. */
  readonly slots: number | null;
  began(): void;
  ended(): void;
}

/** A target in one line for people and metrics: `node/NAME/ENGINE/MODEL` or `provider/NAME/MODEL`. */
export function targetLabel({ backend, engine, engineModel }: Target): string {
  return backend.kind === "node" ? `${backend.label}/${engine}/${engineModel}` : `${backend.label}/${engineModel}`;
}

/** A public model name with the places that can answer it. */
export interface CatalogueEntry {
  /** Public name. */
  name: string;
  targets: readonly Target[];
  routing: ModelRouting;
  /** Another target goes on with a stream that breaks off, where it can. */
  isRescued: boolean;
  /** What callers are told of it. */
  listed(): ListedModel;
}

/** Which models there are. Answers from memory; kept up to date by the gateway. */
export interface Catalogue {
  /** The entry of a public name after alias resolution, or undefined. */
  find(model: string): CatalogueEntry | undefined;
  /** What a name stands for that nobody offers: the first pattern of the configuration that it fits. Its entry has a name of its own. */
  match(model: string): CatalogueEntry | undefined;
  /** Without those that are hidden. */
  list(): Iterable<CatalogueEntry>;
}
