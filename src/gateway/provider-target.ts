import { anthropicHeaders } from "../dialects/anthropic/headers.ts";
import { plainModel } from "../engines/openai-models.ts";
import type { Exchange, ExchangeHandler, ExchangeRequest, Exchanger } from "../lib/exchange.ts";
import type { TargetKind, TargetTimes } from "../proxy/target.ts";
import type { Backend } from "../routing/backend.ts";
import { hashText } from "../routing/hash.ts";
import type { ModelReport } from "../tunnel/link.ts";
import type { CatalogueTarget } from "./catalogue-entry.ts";
import { ProviderExchange } from "./provider-exchange.ts";
import type { ProviderSpending } from "./provider-spending.ts";
import { RefusedExchange } from "./refused-exchange.ts";

/** What the targets of one provider have in common. */
export interface ProviderLine {
  readonly backend: Backend;
  readonly dialect: "openai" | "anthropic";
  readonly kind: TargetKind;
  readonly times: TargetTimes;
  /** Of `anthropic-beta`, beside the harmless ones. */
  readonly betas: readonly string[];
  readonly way: Exchanger;
  /** The provider's host, hidden wherever its errors name it. */
  readonly host: string;
  readonly spending: ProviderSpending;
  nowMs(): number;
  /** The provider has answered one of its models. @param isAccount It does not take the operator's key, or wants to be paid. */
  answered(status: number, isAccount: boolean): void;
  /** Path for an operation's path at one of its models. */
  pathOf(operationPath: string, model: string): string;
  /** Why nothing may go there now, in words; null: it may. */
  closedFor(model: string): string | null;
}

/** One (provider, its model). Kept as long as the provider offers it, so that its count of running attempts stays true. */
export class ProviderTarget implements CatalogueTarget {
  readonly id: string;
  readonly hash: number;
  readonly engineModel: string;
  readonly operations: ReadonlySet<string>;
  readonly contextLength: number | null;
  readonly isLoaded = null;
  readonly sizeBytes = null;
  readonly leaves = true;
  readonly isLoading = false;
  readonly isAsleep = false;
  readonly slots = null;
  isUsageRefused = false;
  busy = 0;
  readonly report: ModelReport;
  readonly #line: ProviderLine;

  constructor(line: ProviderLine, model: string, operations: readonly string[], contextLength: number | null) {
    this.id = `${line.backend.label}/${model}`;
    this.hash = hashText(this.id);
    this.engineModel = model;
    this.operations = new Set(operations);
    this.contextLength = contextLength;
    this.report = { ...plainModel(model), contextLength, remote: true };
    this.#line = line;
  }

  get backend(): Backend {
    return this.#line.backend;
  }

  get engine(): string {
    return this.#line.dialect;
  }

  get engineKind(): TargetKind {
    return this.#line.kind;
  }

  get times(): TargetTimes {
    return this.#line.times;
  }

  view(): ReturnType<CatalogueTarget["view"]> {
    return {
      node: null,
      provider: this.backend.name,
      engine: this.engine,
      kind: this.engineKind,
      engineModel: this.engineModel,
      ready: this.canAccept(),
      reason: this.#line.closedFor(this.engineModel),
      loaded: null,
      contextLength: this.contextLength,
      sizeBytes: null,
      quantization: null,
    };
  }

  canAccept(): boolean {
    return this.#line.closedFor(this.engineModel) === null;
  }

  began(): void {
    this.busy += 1;
  }

  ended(): void {
    this.busy -= 1;
  }

  start(request: ExchangeRequest, handler: ExchangeHandler): Exchange {
    const { dialect, betas, way, host, spending } = this.#line;
    const { maxCostMicros = null } = request;
    const isCapped = spending.isCapped;
    if (isCapped && maxCostMicros === null) return new RefusedExchange(handler, "it has no price, and there is a cap");
    const reservedMicros = isCapped ? (maxCostMicros ?? 0) : 0;
    if (reservedMicros > 0 && !spending.reserve(reservedMicros, this.#line.nowMs()))
      return new RefusedExchange(handler, "what is left of its cap is less than the request may cost");
    const headers = dialect === "anthropic" ? { ...request.headers, ...said(request.headers, betas) } : request.headers;
    const exchange = new ProviderExchange(handler, host, {
      answered: (status, isAccount) => this.#line.answered(status, isAccount),
      ended: () => spending.unreserve(reservedMicros),
    });
    const asked = { ...request, path: this.#line.pathOf(request.path, this.engineModel), headers };
    return exchange.over(way.start(asked, exchange));
  }
}

function said(headers: Record<string, string>, betas: readonly string[]): Record<string, string> {
  const version = headers["anthropic-version"] ?? null;
  const beta = headers["anthropic-beta"] ?? null;
  delete headers["anthropic-beta"];
  return anthropicHeaders({ version, beta }, betas);
}
