import { modelOperations } from "../engines/model-operations.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest, Exchanger } from "../lib/exchange.ts";
import type { Backend } from "../routing/backend.ts";
import { hashText } from "../routing/hash.ts";
import type { Steering } from "../routing/steering.ts";
import type { EngineKind, EngineReport, ModelReport } from "../tunnel/link.ts";
import type { CatalogueTarget } from "./catalogue-entry.ts";
import type { EngineBusy } from "./engine-busy.ts";

/** A node as the catalogue needs to know it. */
export interface CatalogueNode {
  id: string;
  name: string;
  /** Globs of what it may serve; null: names that no other node serves. */
  grants: readonly string[] | null;
  /** Default `own`. */
  locality?: "own" | "rented";
  /** Default none. */
  tags?: readonly string[];
}

/** How to reach an engine of a node. One for links, one for direct URLs. */
export interface Reach extends Exchanger {
  canAccept(): boolean;
  /** Nobody is there at all, not even an agent whose engine is down. Left out: nobody can tell. */
  isAway?(): boolean;
}

/** Finds the way to an engine through the connectors that report it. */
export type ReachOf = (nodeId: string, engine: string, connectorIds: ReadonlySet<string>) => Reach;

/** A node as policy and routing see it. */
export class NodeBackend implements Backend {
  readonly kind = "node";
  readonly id: string;
  name = "";
  label = "";
  locality: Backend["locality"] = "own";
  tags: readonly string[] = [];
  /** The operator wants no new requests there. */
  isDrained = false;
  /** The operator has said how the machine is woken. */
  canWake = false;

  constructor(node: CatalogueNode) {
    this.id = node.id;
    this.learn(node);
  }

  /** What the operator says of it. */
  obey({ drained, wakes }: Steering): void {
    this.isDrained = drained.includes(this.id);
    this.canWake = Object.hasOwn(wakes, this.id);
  }

  learn({ name, locality, tags }: CatalogueNode): void {
    this.name = name;
    this.label = `node/${name}`;
    this.locality = locality ?? "own";
    this.tags = tags ?? [];
  }
}

/** One (node, engine, model). Kept over rebuilds, so that its count of running attempts stays true. */
export class NodeTarget implements CatalogueTarget {
  readonly id: string;
  readonly hash: number;
  readonly backend: NodeBackend;
  readonly engine: string;
  readonly engineModel: string;
  engineKind: EngineKind = "openai";
  isLoaded: boolean | null = null;
  sizeBytes: number | null = null;
  contextLength: number | null = null;
  leaves = false;
  readonly times = null;
  isUsageRefused = false;
  operations: ReadonlySet<string> = new Set();
  #isReady = false;
  #isLoading = false;
  #said: { engine: EngineReport; model: ModelReport } | null = null;
  readonly #connectors: Set<string>;
  readonly #reach: Reach;
  readonly #busy: EngineBusy;

  constructor(
    id: string,
    backend: NodeBackend,
    engine: string,
    model: string,
    busy: EngineBusy,
    connectors: Set<string>,
    reach: Reach,
  ) {
    this.id = id;
    this.hash = hashText(id);
    this.#busy = busy;
    this.backend = backend;
    this.engine = engine;
    this.engineModel = model;
    this.#connectors = connectors;
    this.#reach = reach;
  }

  /** Forgets what connectors said, before they are asked again. */
  begin(): void {
    this.#connectors.clear();
    this.#isReady = false;
    this.#said = null;
    this.isLoaded = null;
    this.#isLoading = false;
    this.leaves = this.backend.locality !== "own";
  }

  learn(engine: EngineReport, model: ModelReport, connectorId: string): void {
    if (this.#said === null || engine.ready) this.#said = { engine, model };
    this.leaves ||= model.remote;
    this.#isLoading ||= engine.isLoading === true;
    if (!engine.ready) return;
    this.#isReady = true;
    this.engineKind = engine.kind;
    this.#connectors.add(connectorId);
    this.operations = modelOperations(engine.operations, model.capabilities);
    this.isLoaded = this.isLoaded === true ? true : model.loaded;
    this.sizeBytes = model.sizeBytes;
    this.contextLength = model.contextLength;
  }

  /** What was reported of the model, or null. */
  get report(): ModelReport | null {
    return this.#said?.model ?? null;
  }

  view(): ReturnType<CatalogueTarget["view"]> {
    const said = this.#said;
    return {
      node: this.backend.name,
      provider: null,
      engine: this.engine,
      kind: said?.engine.kind ?? "openai",
      engineModel: this.engineModel,
      ready: this.canAccept(),
      reason: this.#reason(),
      loaded: this.isLoaded,
      contextLength: said?.model.contextLength ?? null,
      sizeBytes: this.sizeBytes,
      quantization: said?.model.quantization ?? null,
    };
  }

  /** Why it takes no attempts; null where it does. */
  #reason(): string | null {
    if (this.backend.isDrained) return "the node is drained";
    if (!this.#isReady) return this.#said?.engine.reason ?? "the engine is not ready";
    return this.#reach.canAccept() ? null : "the node is away";
  }

  canAccept(): boolean {
    return this.#isReady && !this.backend.isDrained && this.#reach.canAccept();
  }

  get isLoading(): boolean {
    return this.#isLoading && !this.backend.isDrained;
  }

  get isAsleep(): boolean {
    return this.backend.canWake && !this.backend.isDrained && this.#reach.isAway?.() === true;
  }

  get busy(): number {
    return this.#busy.busy;
  }

  get slots(): number | null {
    return this.#busy.slots;
  }

  /** Requests that wait inside its engine, where it says so. */
  get queued(): number | null {
    return this.#busy.queued;
  }

  began(): void {
    this.#busy.began();
  }

  ended(): void {
    this.#busy.ended();
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    return this.#reach.start(request, handler);
  }
}
