import { readFileSync } from "node:fs";
import type { ProviderView } from "../admin/contract-providers.ts";
import type { ProviderConfig } from "../config/provider-config.ts";
import { OWN_VERSION } from "../dialects/anthropic/headers.ts";
import { operationsOfModel, providerWords } from "../dialects/provider-operations.ts";
import { connectEngine, type EngineConnections } from "../engines/dispatch.ts";
import { readListedModels } from "../engines/openai-models.ts";
import { openProbe } from "../engines/probe.ts";
import { refusalReason, tryGet } from "../engines/read-answer.ts";
import type { Clock, Timer } from "../lib/clock.ts";
import { Secret } from "../lib/secret.ts";
import type { Backend } from "../routing/backend.ts";
import type { Prices } from "../usage/price.ts";
import type { ProviderOffer } from "./catalogue-entry.ts";
import { ProviderSpending } from "./provider-spending.ts";
import { type ProviderLine, ProviderTarget } from "./provider-target.ts";

/** How often a provider's own list is read, where all of it is served. */
const LIST_EVERY_MS = 10 * 60_000;
/** The same after it could not be read. */
const LIST_AGAIN_MS = 30_000;
/** Longest wait for a list. */
const LIST_TIMEOUT_MS = 15_000;
/** Exchanges at one time with one provider. */
const MAX_EXCHANGES = 512;
/** Idle connections are kept longer than to engines: TLS over a distance costs two round trips. */
const KEEP_ALIVE_MS = 30_000;

/** What a provider tells its owner. */
export interface ProviderEvents {
  /** What it offers has changed. */
  offers(offers: readonly ProviderOffer[]): void;
  /** Its list could not be read. */
  listFailed(reason: string): void;
  /** It does not take the operator's key, or wants to be paid. */
  accountRefused(): void;
}

export interface ProviderParts {
  config: ProviderConfig;
  clock: Clock;
  events: ProviderEvents;
  prices: Prices;
}

/** One cloud API: the way to it, its targets, and its list of models where all of it is served. */
export class Provider {
  readonly name: string;
  readonly #config: ProviderConfig;
  readonly #clock: Clock;
  readonly #events: ProviderEvents;
  readonly #prices: Prices;
  readonly spending: ProviderSpending;
  readonly #url: URL;
  readonly #ca: string | null;
  readonly #operations: readonly string[];
  readonly #line: ProviderLine;
  readonly #connections: EngineConnections;
  readonly #targets = new Map<string, ProviderTarget>();
  /** Models that must not be asked because a cap cannot count them. */
  #unpriced: ReadonlySet<string> = new Set();
  /** It refused the operator's account at the last answer. */
  #isRefused = false;
  #listTrouble: string | null = null;
  #timer: Timer | null = null;
  #isStopped = false;

  /** Opens no connection yet. @throws an `Error` of the file system when the CA file cannot be read. */
  constructor({ config, clock, events, prices }: ProviderParts) {
    this.name = config.name;
    this.#prices = prices;
    this.#config = config;
    this.#clock = clock;
    this.#events = events;
    this.#url = new URL(config.baseUrl);
    this.#ca = config.caFile === null ? null : readFileSync(config.caFile, "utf8");
    const words = providerWords(config.dialect, this.#url.hostname, config.azureApiVersion !== null);
    this.#operations = config.operations ?? words.operations;
    this.#connections = connectEngine({
      ...this.#address(),
      passedHeaders: config.dialect === "anthropic" ? ["anthropic-version", "anthropic-beta"] : [],
      keepAliveMs: KEEP_ALIVE_MS,
      maxExchanges: MAX_EXCHANGES,
      connectTimeoutMs: config.times.connectMs,
    });
    this.spending = new ProviderSpending(config.spend, clock.nowMs());
    this.#line = {
      backend: backendOf(config.name),
      dialect: config.dialect,
      kind: words.kind,
      times: config.times,
      betas: config.betas,
      way: this.#connections,
      pathOf: (path, model) => this.#pathOf(path, model),
      host: this.#url.host,
      spending: this.spending,
      nowMs: () => clock.nowMs(),
      answered: (_status, isAccount) => this.#answered(isAccount),
      closedFor: (model) => this.#closedFor(model),
    };
  }

  /** Offers what the configuration names, and begins to read the provider's list where all of it is served. */
  start(): void {
    this.#offer([]);
    if (this.#config.servesAll) void this.#readList();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#connections.destroy();
  }

  /** For people: what is offered, and what keeps it from answering. */
  view(): ProviderView {
    const nowMs = this.#clock.nowMs();
    const targets = [...this.#targets.values()];
    return {
      name: this.name,
      dialect: this.#config.dialect,
      models: targets.length,
      ready: targets.some((target) => target.canAccept()),
      reason: this.spending.spentCap(nowMs) ?? this.#trouble(),
      spending: this.spending.view(nowMs),
    };
  }

  #trouble(): string | null {
    if (this.#isRefused) return "it refused the key or the account at the last request";
    return this.#listTrouble === null ? null : `its list of models was not read: ${this.#listTrouble}`;
  }

  #answered(isAccount: boolean): void {
    if (isAccount && !this.#isRefused) this.#events.accountRefused();
    this.#isRefused = isAccount;
  }

  #closedFor(model: string): string | null {
    if (this.#unpriced.has(model)) return "it has no price, and the provider has a cap on what it may cost";
    return this.spending.isCapped ? this.spending.spentCap(this.#clock.nowMs()) : null;
  }

  #offer(listed: readonly string[]): void {
    const named = this.#config.models.map(({ name, model, operations, contextLength }) => ({
      name,
      target: this.#target(model, operations, contextLength),
    }));
    const known = new Set(named.map(({ name }) => name));
    const further = listed.filter((name) => !known.has(name));
    if (this.spending.isCapped) this.#unpriced = new Set(further.filter((name) => !this.#hasPrice(name)));
    this.#events.offers([...named, ...further.map((name) => ({ name, target: this.#target(name, null, null) }))]);
  }

  #hasPrice(model: string): boolean {
    return this.#prices.find(model, `${this.#line.backend.label}/${model}`) !== null;
  }

  #target(model: string, operations: readonly string[] | null, contextLength: number | null): ProviderTarget {
    let target = this.#targets.get(model);
    if (target === undefined) {
      const taken = operations ?? operationsOfModel(this.#operations, model);
      target = new ProviderTarget(this.#line, model, taken, contextLength);
      this.#targets.set(model, target);
    }
    return target;
  }

  async #readList(): Promise<void> {
    const address = this.#address();
    const isAnthropic = this.#config.dialect === "anthropic";
    const headers = isAnthropic ? [...address.headers, VERSION_HEADER] : address.headers;
    const probe = openProbe({ ...address, headers, timeoutMs: LIST_TIMEOUT_MS, clock: this.#clock });
    try {
      const answer = await tryGet(probe, `${this.#url.pathname}/models${isAnthropic ? "?limit=1000" : ""}`);
      if (this.#isStopped) return;
      const models = readListedModels(answer);
      this.#listTrouble = models === null ? refusalReason(answer) : null;
      if (this.#listTrouble !== null) this.#events.listFailed(this.#listTrouble);
      if (models !== null) this.#offer([...new Set(models.map(({ id }) => id))]);
      this.#timer = this.#clock.after(models === null ? LIST_AGAIN_MS : LIST_EVERY_MS, () => void this.#readList());
    } finally {
      await probe.close();
    }
  }

  /** A path of the provider: what its SDK would ask for. Operations carry the `/v1` that the base URL has already. */
  #pathOf(operationPath: string, model: string): string {
    const { azureApiVersion } = this.#config;
    const tail = operationPath.replace(/^\/v1/, "");
    if (azureApiVersion === null) return this.#url.pathname + tail;
    const base = this.#url.pathname.replace(/\/+$/, "").replace(/\/openai$/, "");
    return `${base}/openai/deployments/${encodeURIComponent(model)}${tail}?api-version=${azureApiVersion}`;
  }

  #address() {
    const { apiKey, keyHeader, headers, serverName } = this.#config;
    const isBearer = keyHeader === "authorization";
    return {
      url: new URL(this.#url.origin),
      host: this.#url.host,
      apiKey: isBearer ? apiKey : null,
      headers: isBearer || apiKey === null ? headers : [...headers, [keyHeader, apiKey] as const],
      ca: this.#ca,
      serverName,
    };
  }
}

const VERSION_HEADER = ["anthropic-version", new Secret(OWN_VERSION)] as const;

function backendOf(name: string): Backend {
  return { kind: "provider", id: `provider:${name}`, name, label: `provider/${name}`, locality: "cloud", tags: [] };
}
