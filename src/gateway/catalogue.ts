import type { ModelView } from "../admin/contract-models.ts";
import { ollamaNameVariants } from "../dialects/ollama/model-names.ts";
import { matchesGlob } from "../lib/glob.ts";
import type { Catalogue, CatalogueEntry } from "../proxy/target.ts";
import { NO_STEERING, type Steering } from "../routing/steering.ts";
import type { EngineReport, ModelReport, NodeReport } from "../tunnel/link.ts";
import {
  type Alias,
  type AliasTarget,
  type CatalogueTarget,
  type LiveEntry,
  listedModel,
  type ProviderOffer,
} from "./catalogue-entry.ts";
import { BusyEngines } from "./engine-busy.ts";
import type { ModelOwners } from "./model-owners.ts";
import { type RoutingWish, routingOf } from "./model-routing.ts";
import { viewModels } from "./model-views.ts";
import { type CatalogueNode, NodeBackend, NodeTarget, type ReachOf } from "./node-target.ts";
import { rememberModels } from "./remember-models.ts";

/** Most models that one node may bring in. A hostile agent must not fill the catalogue. */
export const MAX_MODELS_PER_NODE = 2000;

/**
 * Which models there are and where, from what connectors report, what their nodes were granted, what providers offer, and
 * the aliases of the configuration. Rebuilt when one of these changes; reads are plain map look-ups. What a node reported last stays while it
 * is away: its models are known and answer 503, not 404.
 *
 * A node without a grant may serve names that no other node and no provider serves: the first to offer a name keeps it as
 * long as the node exists, so that a second node cannot draw another's requests by reporting its model.
 */
export class LiveCatalogue implements Catalogue {
  readonly #reachOf: ReachOf;
  readonly #nowMs: () => number;
  readonly #nodes = new Map<string, CatalogueNode>();
  readonly #backends = new Map<string, NodeBackend>();
  readonly #reports = new Map<string, { nodeId: string; report: NodeReport }>();
  readonly #owners: ModelOwners;
  readonly #firstSeen = new Map<string, number>();
  readonly #targets = new Map<string, NodeTarget>();
  /** By the provider's name. */
  readonly #providers = new Map<string, readonly ProviderOffer[]>();
  #provided: ReadonlySet<string | null> = new Set();
  readonly #busy = new BusyEngines(() => this.#onChange());
  #onChange: () => void = () => {};
  /** Grows whenever there may be other targets than before. */
  revision = 0;
  #aliases: readonly Alias[] = [];
  #steering: Steering = NO_STEERING;
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
    return viewModels({
      entries: this.#entries.values(),
      offered: this.#offered.map(({ model }) => model),
      unserved: this.#unserved,
      isAlias: (name) => this.isAlias(name),
      isRequired: (name) => this.#aliasOf(name)?.isRequired === true,
    });
  }

  /** Sets who is told that a target may take more than before, or less. It is told often, and must be quick. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** Every target that there is, whatever names it answers to. */
  *targets(): Iterable<CatalogueTarget> {
    yield* this.#targets.values();
    for (const offers of this.#providers.values())
      for (const target of new Set(offers.map((one) => one.target))) yield target;
  }

  /** How busy an engine is, and how much it can do at once. */
  loadOf(nodeId: string, engine: string): { slots: number | null; busy: number } {
    const { slots, busy } = this.#busy.of(nodeId, engine);
    return { slots, busy };
  }

  /** Those on nodes. */
  nodeTargets(): Iterable<NodeTarget> {
    return this.#targets.values();
  }

  /** Models that a node reports and may not serve. Shown, never routed. */
  get offered(): ReadonlyArray<{ nodeId: string; model: string }> {
    return this.#offered;
  }

  isAlias(model: string): boolean {
    return (this.#aliasOf(model)?.targets.length ?? 0) > 0;
  }

  setNode(node: CatalogueNode): void {
    this.#nodes.set(node.id, node);
    this.#backend(node).learn(node);
    this.#rebuild();
  }

  removeNode(nodeId: string): void {
    this.#nodes.delete(nodeId);
    this.#backends.delete(nodeId);
    this.#busy.forget(nodeId);
    for (const [connectorId, { nodeId: owner }] of this.#reports)
      if (owner === nodeId) this.#reports.delete(connectorId);
    this.#owners.forget(nodeId);
    this.#rebuild();
  }

  setAliases(aliases: readonly Alias[]): void {
    this.#aliases = aliases;
    this.#rebuild();
  }

  /** What a provider offers from now on, in place of what it offered before. */
  setProvider(provider: string, offers: readonly ProviderOffer[]): void {
    this.#providers.set(provider, offers);
    this.#provided = new Set([...this.#providers.values()].flatMap((all) => all.map(({ name }) => name)));
    this.#rebuild();
  }

  /** What the operator says of nodes and weights from now on. */
  setSteering(steering: Steering): void {
    this.#steering = steering;
    for (const backend of this.#backends.values()) backend.obey(steering);
    this.#rebuild();
  }

  setReport(nodeId: string, connectorId: string, report: NodeReport): void {
    this.#busy.learn(nodeId, connectorId, report.engines);
    this.#reports.set(connectorId, { nodeId, report: rememberModels(this.report(connectorId), report) });
    this.#rebuild();
  }

  /** The connector is gone for good. */
  dropReport(connectorId: string): void {
    const nodeId = this.#reports.get(connectorId)?.nodeId;
    if (nodeId === undefined) return;
    this.#busy.learn(nodeId, connectorId, []);
    this.#reports.delete(connectorId);
    this.#rebuild();
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
    return owner === undefined ? !this.#provided.has(model) : owner === nodeId;
  }

  #rebuild(): void {
    const entries = new Map<string, { name: string; targets: CatalogueTarget[] }>();
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
    for (const { name, target } of [...this.#providers.values()].flat()) {
      if (name === null) continue;
      const entry = entries.get(name) ?? { name, targets: [] };
      entry.targets.push(target);
      entries.set(name, entry);
    }
    this.#entries = new Map();
    for (const { name, targets } of entries.values()) {
      const alias = this.#aliasOf(name);
      const strategy = alias?.targets.length === 0 ? (alias.strategy ?? null) : null;
      this.#entries.set(name, this.#entry(name, targets, { strategy, groups: [groupOf(null, targets)] }));
    }
    const patterns: Array<{ pattern: string; entry: LiveEntry }> = [];
    const unserved: string[] = [];
    for (const alias of this.#aliases) {
      const found = alias.targets.flatMap((wanted) =>
        this.#targetsOf(wanted, entries).map((one) => ({ ...one, weight: wanted.weight ?? null })),
      );
      const [first] = found;
      if (first === undefined) {
        if (alias.targets.length > 0 || alias.isRequired === true) unserved.push(alias.name);
        continue;
      }
      const targets = [...new Set(found.flatMap((one) => one.targets))];
      const groups = found.map((one) => groupOf(one.weight, one.targets));
      const entry = this.#entry(alias.name, targets, { strategy: alias.strategy ?? null, groups });
      if (!alias.name.includes("*")) this.#entries.set(alias.name, entry);
      // Who may use what it stands for may use it: policy judges that name, and the record has it.
      else patterns.push({ pattern: alias.name, entry: { ...entry, name: first.name } });
    }
    this.#patterns = patterns;
    this.#unserved = unserved.filter((name) => !this.#entries.has(name));
    const hidden = new Set(this.#aliases.filter(({ isHidden }) => isHidden).map(({ name }) => name));
    this.#listed = [...this.#entries.values()].filter(({ name }) => !hidden.has(name));
    this.#offered = offered;
    this.revision += 1;
    this.#onChange();
  }

  /** What one target of an alias stands for; none where nobody offers it. */
  #targetsOf(
    { model, node, provider }: AliasTarget,
    entries: ReadonlyMap<string, { name: string; targets: CatalogueTarget[] }>,
  ): Array<{ name: string; targets: CatalogueTarget[] }> {
    if (provider !== null) {
      const offers = this.#providers.get(provider) ?? [];
      const offer =
        offers.find(({ name }) => name === model) ?? offers.find(({ target }) => target.engineModel === model);
      return offer === undefined ? [] : [{ name: offer.name ?? model, targets: [offer.target] }];
    }
    const entry = findByName(entries, model);
    const targets = (entry?.targets ?? []).filter(
      ({ backend }) => node === null || (backend.kind === "node" && backend.name === node),
    );
    return entry === undefined || targets.length === 0 ? [] : [{ name: entry.name, targets }];
  }

  #target(
    node: CatalogueNode,
    engine: EngineReport,
    model: ModelReport,
    connectorId: string,
    seen: Set<string>,
  ): NodeTarget {
    const id = `${node.id}/${engine.name}/${model.name}`;
    let target = this.#targets.get(id);
    if (target === undefined) {
      const connectors = new Set<string>();
      target = new NodeTarget(
        id,
        this.#backend(node),
        engine.name,
        model.name,
        this.#busy.of(node.id, engine.name),
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
      backend.obey(this.#steering);
      this.#backends.set(node.id, backend);
    }
    return backend;
  }

  #entry(name: string, targets: readonly CatalogueTarget[], wish: RoutingWish): LiveEntry {
    let createdAtMs = this.#firstSeen.get(name);
    if (createdAtMs === undefined) {
      createdAtMs = this.#nowMs();
      this.#firstSeen.set(name, createdAtMs);
    }
    const firstSeenMs = createdAtMs;
    const routing = routingOf(wish, this.#steering.weights[name]);
    const isRescued = this.#aliases.some((alias) => alias.name === name && alias.isRescued === true);
    return { name, targets, routing, isRescued, listed: () => listedModel(name, firstSeenMs, targets) };
  }

  #aliasOf(name: string): Alias | undefined {
    return this.#aliases.find((alias) => alias.name === name);
  }
}

function groupOf(weight: number | null, targets: readonly CatalogueTarget[]) {
  return { weight, targetIds: targets.map(({ id }) => id) };
}

/** The entry that an alias's target names; Ollama's names stand for each other here as they do in requests. */
function findByName<Entry>(entries: ReadonlyMap<string, Entry>, name: string): Entry | undefined {
  for (const variant of ollamaNameVariants(name)) {
    const entry = entries.get(variant);
    if (entry !== undefined) return entry;
  }
  return undefined;
}
