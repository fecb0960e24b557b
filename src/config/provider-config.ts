import type { Secret } from "../lib/secret.ts";

/** A cloud API as the configuration defines it. */
export interface ProviderConfig {
  name: string;
  /** Where in the file: `/etc/postern/postern.yaml:12`. */
  place: string;
  dialect: "openai" | "anthropic";
  /** Origin and path that stand before `/chat/completions` or `/messages`; without a trailing slash. */
  baseUrl: string;
  apiKey: Secret | null;
  keyHeader: "authorization" | "api-key" | "x-api-key";
  /** Further headers of each request, names in lower case. */
  headers: ReadonlyArray<readonly [name: string, value: Secret]>;
  /** `api-version` of Azure's older shape, in which each deployment has a path; null: any other. */
  azureApiVersion: string | null;
  /** Also those that only an alias names. */
  models: readonly ProviderModelConfig[];
  /** Its own list is read and served as well. */
  servesAll: boolean;
  /** Ids of operations; null: by dialect and host. */
  operations: readonly string[] | null;
  /** What of `anthropic-beta` goes on besides what is known to be harmless. A name, or its beginning with `*`. */
  betas: readonly string[];
  times: ProviderTimes;
  spend: { day: SpendCap; month: SpendCap };
  /** PEM file, absolute; null: the system's authorities. */
  caFile: string | null;
  serverName: string | null;
}

export interface ProviderModelConfig {
  /** Public name; null: reached only through an alias. */
  name: string | null;
  /** The provider's own name, or the deployment. */
  model: string;
  operations: readonly string[] | null;
  contextLength: number | null;
}

/** Milliseconds after which an attempt is given up. */
export interface ProviderTimes {
  connectMs: number;
  firstTokenMs: number;
  betweenTokensMs: number;
  /** Of an answer that is not streamed, to its end. */
  wholeMs: number;
}

/** In micro-dollars; null: none. */
export interface SpendCap {
  softMicros: number | null;
  hardMicros: number | null;
}
