import type { ModelTargetView, ModelView } from "../admin/contract.ts";
import type { ListedModel } from "../dialects/listed-model.ts";
import { ollamaNameVariants } from "../dialects/ollama/model-names.ts";
import { modelOperations } from "../engines/model-operations.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest, Exchanger } from "../lib/exchange.ts";
import { matchesGlob } from "../lib/glob.ts";
import type { Catalogue, CatalogueEntry, Target } from "../proxy/target.ts";
import type { Backend } from "../routing/backend.ts";
import type { EngineKind, EngineReport, ModelReport, NodeReport } from "../tunnel/link.ts";
import type { ModelOwners } from "./model-owners.ts";
import { rememberModels } from "./remember-models.ts";

/** Most models that one node may bring in. A hostile agent must not fill the catalogue. */
export const MAX_MODELS_PER_NODE = 2000;

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
}

/** Finds the way to an engine through the connectors that report it. */
export type ReachOf = (nodeId: string, engine: string, connectorIds: ReadonlySet<string>) => Reach;

interface LiveEntry extends CatalogueEntry {
  targets: readonly LiveTarget[];
}

interface Alias {
  /** With `*`: every name like it that nobody offers. */
  name: string;
  isHidden: boolean;
  targets: ReadonlyArray<{ model: string; node: string | null }>;
}

/**
 * Which models there are and where, from what connectors report, what their nodes were granted, and the aliases of the
 * configuration. Rebuilt when one of these changes; reads are plain map look-ups. What a node reported last stays while it
 * is away: its models are known and answer 503, not 404.
 *
 * A node without a grant may serve names that no other node serves: the first to offer a name keeps it as long as the
 * node exists, so that a second node cannot draw another's requests by reporting its model.
 */
export class LiveCatalogue implements Catalogue {
  readonly #reachOf: ReachOf;
  readonly #nowMs: () => number;
  readonly #nodes = new Map<string, CatalogueNode>();
  readonly #backends = new Map<string, NodeBackend>();
  readonly #reports = new Map<string, { nodeId: string; report: NodeReport }>();
  readonly #owners: ModelOwners;
  readonly #firstSeen = new Map<string, number>();
  readonly #targets = new Map<string, LiveTarget>();
  #aliases: readonly Alias[] = [];
  #entries = new Map<string, LiveEntry>();
  #listed: readonly LiveEntry[] = [];
  #patterns: ReadonlyArray<{ pattern: string; entry: LiveEntry }> = [];
  #offered: ReadonlyArray<{ nodeId: string; model: string }> = [];
  /** Aliases and patterns of which no node offers a target. */
  #unserved: readonly string[] = [];

  constructor(reachOf: ReachOf, owners: ModelOwners, nowMs: () => number) {
    this.#reachOf = reachOf;
    this.#owners = owners;
    this.#nowMs = nowMs;
  }

  find(model: string): CatalogueEntry | undefined {
    return this.#entries.get(model);
  }

  match(model: string): CatalogueEntry | undefined {
    return this.#patterns.find(({ pattern }) => matchesGlob(pattern, model))?.entry;
  }

  list(): Iterable<CatalogueEntry> {
    return this.#listed;
  }

  /** The entry with what operators see of it: kind, reasons, sizes. */
  views(): ModelView[] {
    const views = [...this.#entries.values()].map(
      (entry): ModelView => ({
        name: entry.name,
        ready: entry.targets.some((target) => target.canAccept()),
        source: this.isAlias(entry.name) ? "alias" : "node",
        operations: [...new Set(entry.targets.flatMap((target) => [...target.operations]))],
        targets: entry.targets.map((target) => target.view()),
      }),
    );
    const known = new Set(views.map((view) => view.name));
    for (const { model } of this.#offered) {
      if (known.has(model)) continue;
      known.add(model);
      views.push({ name: model, ready: false, source: "offered", operations: [], targets: [] });
    }
    for (const name of this.#unserved) {
      views.push({ name, ready: false, source: "alias", operations: [], targets: [] });
    }
    return views;
  }

  /** Every target that there is, whatever names it answers to. */
  targets(): Iterable<Target> {
    return this.#targets.values();
  }

  /** Models that a node reports and may not serve. Shown, never routed. */
  get offered(): ReadonlyArray<{ nodeId: string; model: string }> {
    return this.#offered;
  }

  isAlias(model: string): boolean {
    return this.#aliases.some((alias) => alias.name === model);
  }

  setNode(node: CatalogueNode): void {
    this.#nodes.set(node.id, node);
    this.#backend(node).learn(node);
    this.#rebuild();
  }

  removeNode(nodeId: string): void {
    this.#nodes.delete(nodeId);
    this.#backends.delete(nodeId);
    for (const [connectorId, { nodeId: owner }] of this.#reports)
      if (owner === nodeId) this.#reports.delete(connectorId);
    this.#owners.forget(nodeId);
    this.#rebuild();
  }

  setAliases(aliases: readonly Alias[]): void {
    this.#aliases = aliases;
    this.#rebuild();
  }

  setReport(nodeId: string, connectorId: string, report: NodeReport): void {
    this.#reports.set(connectorId, { nodeId, report: rememberModels(this.report(connectorId), report) });
    this.#rebuild();
  }

  /** The connector is gone for good. */
  dropReport(connectorId: string): void {
    if (this.#reports.delete(connectorId)) this.#rebuild();
  }

  report(connectorId: string): NodeReport | null {
    return this.#reports.get(connectorId)?.report ?? null;
  }

  /** What a connector reports, divided into what its node may serve and what it may not; for the agent's own log. */
  verdictOn(
    nodeId: string,
    connectorId: string,
  ): [granted: string[], refused: Array<{ name: string; reason: string }>] {
    const names = (this.report(connectorId)?.engines ?? []).flatMap((engine) =>
      engine.models.map((model) => model.name),
    );
    const granted = names.filter((name) => this.isGranted(nodeId, name));
    const refused = names.filter((name) => !this.isGranted(nodeId, name));
    return [granted, refused.map((name) => ({ name, reason: "the node was not granted this model" }))];
  }

  /** Whether the node may serve the name. */
  isGranted(nodeId: string, model: string): boolean {
    const node = this.#nodes.get(nodeId);
    if (node === undefined) return false;
    if (node.grants !== null) return node.grants.some((glob) => matchesGlob(glob, model));
    const owner = this.#owners.ownerOf(model);
    return owner === undefined || owner === nodeId;
  }

  #rebuild(): void {
    const entries = new Map<string, { name: string; targets: LiveTarget[] }>();
    const offered: Array<{ nodeId: string; model: string }> = [];
    const seen = new Set<string>();
    for (const [connectorId, { nodeId, report }] of this.#reports) {
      const node = this.#nodes.get(nodeId);
      if (node === undefined) continue;
      let count = 0;
      for (const engine of report.engines) {
        for (const model of engine.models) {
          if (++count > MAX_MODELS_PER_NODE) break;
          if (!this.isGranted(nodeId, model.name)) {
            offered.push({ nodeId, model: model.name });
            continue;
          }
          this.#owners.claim(model.name, nodeId);
          const target = this.#target(node, engine, model, connectorId, seen);
          const entry = entries.get(model.name) ?? { name: model.name, targets: [] };
          if (!entry.targets.includes(target)) entry.targets.push(target);
          entries.set(model.name, entry);
        }
      }
    }
    for (const id of this.#targets.keys()) if (!seen.has(id)) this.#targets.delete(id);
    this.#entries = new Map();
    for (const { name, targets } of entries.values()) this.#entries.set(name, this.#entry(name, targets));
    const patterns: Array<{ pattern: string; entry: LiveEntry }> = [];
    const unserved: string[] = [];
    for (const alias of this.#aliases) {
      const found = alias.targets.flatMap((wanted) => {
        const entry = findByName(entries, wanted.model);
        const targets = (entry?.targets ?? []).filter(
          (one) => wanted.node === null || one.backend.name === wanted.node,
        );
        return entry === undefined || targets.length === 0 ? [] : [{ name: entry.name, targets }];
      });
      const [first] = found;
      if (first === undefined) {
        if (alias.targets.length > 0) unserved.push(alias.name);
        continue;
      }
      const targets = found.flatMap((one) => one.targets);
      if (!alias.name.includes("*")) this.#entries.set(alias.name, this.#entry(alias.name, targets));
      // Who may use what it stands for may use it: policy judges that name, and the record has it.
      else patterns.push({ pattern: alias.name, entry: this.#entry(first.name, targets) });
    }
    this.#patterns = patterns;
    this.#unserved = unserved.filter((name) => !this.#entries.has(name));
    const hidden = new Set(this.#aliases.filter(({ isHidden }) => isHidden).map(({ name }) => name));
    this.#listed = [...this.#entries.values()].filter(({ name }) => !hidden.has(name));
    this.#offered = offered;
  }

  #target(
    node: CatalogueNode,
    engine: EngineReport,
    model: ModelReport,
    connectorId: string,
    seen: Set<string>,
  ): LiveTarget {
    const id = `${node.id}/${engine.name}/${model.name}`;
    let target = this.#targets.get(id);
    if (target === undefined) {
      const connectors = new Set<string>();
      target = new LiveTarget(
        id,
        this.#backend(node),
        engine.name,
        model.name,
        connectors,
        this.#reachOf(node.id, engine.name, connectors),
      );
      this.#targets.set(id, target);
    }
    if (!seen.has(id)) target.begin();
    seen.add(id);
    target.learn(engine, model, connectorId);
    return target;
  }

  #backend(node: CatalogueNode): NodeBackend {
    let backend = this.#backends.get(node.id);
    if (backend === undefined) {
      backend = new NodeBackend(node);
      this.#backends.set(node.id, backend);
    }
    return backend;
  }

  #entry(name: string, targets: readonly LiveTarget[]): LiveEntry {
    let createdAtMs = this.#firstSeen.get(name);
    if (createdAtMs === undefined) {
      createdAtMs = this.#nowMs();
      this.#firstSeen.set(name, createdAtMs);
    }
    const firstSeenMs = createdAtMs;
    return { name, targets, listed: () => listedModel(name, firstSeenMs, targets) };
  }
}

/** The entry that an alias's target names; Ollama's names stand for each other here as they do in requests. */
function findByName<Entry>(entries: ReadonlyMap<string, Entry>, name: string): Entry | undefined {
  for (const variant of ollamaNameVariants(name)) {
    const entry = entries.get(variant);
    if (entry !== undefined) return entry;
  }
  return undefined;
}

/** A model as callers see it: of several targets what the best one offers. */
function listedModel(id: string, createdAtMs: number, targets: readonly LiveTarget[]): ListedModel {
  const reports = targets.flatMap(({ model }) => (model === null ? [] : [model]));
  const windows = reports.flatMap(({ contextLength }) => (contextLength === null ? [] : [contextLength]));
  const first = reports[0];
  const states = targets.map(({ isLoaded }) => isLoaded);
  return {
    id,
    createdAtMs,
    contextLength: windows.length === 0 ? null : Math.max(...windows),
    sizeBytes: first?.sizeBytes ?? null,
    quantization: first?.quantization ?? null,
    family: first?.family ?? null,
    parameterSize: first?.parameterSize ?? null,
    capabilities: [...new Set(reports.flatMap(({ capabilities }) => capabilities))],
    isLoaded: states.includes(true) ? true : states.includes(null) ? null : false,
  };
}

class NodeBackend implements Backend {
  readonly kind = "node";
  readonly id: string;
  name = "";
  label = "";
  locality: Backend["locality"] = "own";
  tags: readonly string[] = [];

  constructor(node: CatalogueNode) {
    this.id = node.id;
    this.learn(node);
  }

  learn({ name, locality, tags }: CatalogueNode): void {
    this.name = name;
    this.label = `node/${name}`;
    this.locality = locality ?? "own";
    this.tags = tags ?? [];
  }
}

/** One (node, engine, model). Kept over rebuilds, so that its count of running attempts stays true. */
class LiveTarget implements Target {
  readonly id: string;
  readonly backend: NodeBackend;
  readonly engine: string;
  readonly engineModel: string;
  engineKind: EngineKind = "openai";
  isLoaded: boolean | null = null;
  sizeBytes: number | null = null;
  contextLength: number | null = null;
  leaves = false;
  isLoading = false;
  isUsageRefused = false;
  operations: ReadonlySet<string> = new Set();
  inFlight = 0;
  #isReady = false;
  #report: { engine: EngineReport; model: ModelReport } | null = null;
  readonly #connectors: Set<string>;
  readonly #reach: Reach;

  constructor(id: string, backend: NodeBackend, engine: string, model: string, connectors: Set<string>, reach: Reach) {
    this.id = id;
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
    this.#report = null;
    this.isLoaded = null;
    this.isLoading = false;
    this.leaves = this.backend.locality !== "own";
  }

  learn(engine: EngineReport, model: ModelReport, connectorId: string): void {
    if (this.#report === null || engine.ready) this.#report = { engine, model };
    this.leaves ||= model.remote;
    this.isLoading ||= engine.isLoading === true;
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
  get model(): ModelReport | null {
    return this.#report?.model ?? null;
  }

  view(): ModelTargetView {
    const report = this.#report;
    return {
      node: this.backend.name,
      engine: this.engine,
      kind: report?.engine.kind ?? "openai",
      engineModel: this.engineModel,
      ready: this.canAccept(),
      reason: this.#isReady
        ? this.#reach.canAccept()
          ? null
          : "the node is away"
        : (report?.engine.reason ?? "the engine is not ready"),
      loaded: this.isLoaded,
      contextLength: report?.model.contextLength ?? null,
      sizeBytes: this.sizeBytes,
      quantization: report?.model.quantization ?? null,
    };
  }

  canAccept(): boolean {
    return this.#isReady && this.#reach.canAccept();
  }

  began(): void {
    this.inFlight += 1;
  }

  ended(): void {
    this.inFlight -= 1;
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    return this.#reach.start(request, handler);
  }
}
