import type { ModelTargetView } from "../admin/contract-models.ts";
import type { ListedModel } from "../dialects/listed-model.ts";
import type { CatalogueEntry, Target } from "../proxy/target.ts";
import type { Strategy } from "../routing/strategy.ts";
import type { ModelReport } from "../tunnel/link.ts";

/** A target as the gateway's own parts see it: what the data plane needs, and what operators are shown. */
export interface CatalogueTarget extends Target {
  /** What is known of the model, or null. */
  readonly report: ModelReport | null;
  view(): Omit<ModelTargetView, "id" | "weight">;
}

/** A public name with the places behind it. */
export interface LiveEntry extends CatalogueEntry {
  targets: readonly CatalogueTarget[];
}

/** A provider's model with the public name under which it is offered; null: through an alias only. */
export interface ProviderOffer {
  name: string | null;
  target: CatalogueTarget;
}

/** A public name of the configuration. */
export interface Alias {
  /** With `*`: every name like it that nobody offers. */
  name: string;
  isHidden: boolean;
  /** Empty: the name stands for itself. */
  targets: readonly AliasTarget[];
  strategy?: Strategy | null;
  /** Operators want to hear when nobody serves it. */
  isRequired?: boolean;
  /** Another target goes on with a stream that breaks off. Default no. */
  isRescued?: boolean;
}

/** What it stands for. */
export interface AliasTarget {
  model: string;
  /** Null: any. */
  node: string | null;
  /** Null: any. With one, `model` may also be the provider's own name. */
  provider: string | null;
  weight?: number | null;
}

/** A model as callers see it: of several targets what the best one offers. */
export function listedModel(id: string, createdAtMs: number, targets: readonly CatalogueTarget[]): ListedModel {
  const reports = targets.flatMap(({ report }) => (report === null ? [] : [report]));
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
