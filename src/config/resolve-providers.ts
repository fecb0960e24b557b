import { matchesGlob } from "../lib/glob.ts";
import { Secret } from "../lib/secret.ts";
import { isLoopback } from "./listen-address.ts";
import type { ProviderConfig, ProviderModelConfig, SpendCap } from "./provider-config.ts";
import { addFault, locateFile, placeOf, type Resolving, readSecret } from "./resolve-file.ts";
import type { TimeoutConfig } from "./resolved.ts";
import type { RawProvider } from "./schema-providers.ts";

const DEFAULT_BASE_URL = { openai: "https://api.openai.com/v1", anthropic: "https://api.anthropic.com/v1" } as const;
/** Longest time for a whole answer. Thinking models take minutes; clients give up after ten. */
const DEFAULT_WHOLE_MS = 5 * 60_000;

/** The providers of the file, with the models that only aliases name. Adds faults, never throws. */
export function resolveProviders(resolving: Resolving, timeouts: TimeoutConfig, isOurs: boolean): ProviderConfig[] {
  const named = Object.entries(resolving.raw.providers ?? {});
  refuseUnknown(resolving);
  return named.map(([name, raw]) => {
    const at = ["providers", name];
    const models = modelsOf(resolving, name, raw);
    refuseUnpriced(resolving, name, raw, models);
    if (models.length === 0 && raw.models !== "all")
      addFault(resolving, [...at, "models"], "is missing, and no target in `models` names the provider either");
    return {
      name,
      place: placeOf(resolving, at),
      dialect: raw.dialect,
      baseUrl: baseUrlOf(resolving, at, raw),
      apiKey: raw.apiKey === undefined || !isOurs ? null : readSecret(resolving, [...at, "apiKey"], raw.apiKey),
      keyHeader:
        raw.keyHeader ??
        (raw.azure !== undefined ? "api-key" : raw.dialect === "anthropic" ? "x-api-key" : "authorization"),
      headers: isOurs ? headersOf(resolving, at, raw) : [],
      azureApiVersion: raw.azure?.apiVersion ?? null,
      models,
      servesAll: raw.models === "all",
      operations: raw.operations ?? null,
      betas: raw.betas ?? [],
      times: {
        connectMs: raw.timeouts?.connect ?? timeouts.connectMs,
        firstTokenMs: raw.timeouts?.firstToken ?? timeouts.firstTokenProviderMs,
        betweenTokensMs: raw.timeouts?.betweenTokens ?? timeouts.betweenTokensProviderMs,
        wholeMs: raw.timeouts?.whole ?? DEFAULT_WHOLE_MS,
      },
      spend: { day: capOf(raw.spend?.day), month: capOf(raw.spend?.month) },
      caFile: raw.ca === undefined ? null : locateFile(resolving, [...at, "ca"], raw.ca, isOurs),
      serverName: raw.serverName ?? null,
    };
  });
}

/** As SDKs take it: with `/v1` for OpenAI's dialect, with or without it for Anthropic's. */
function baseUrlOf(resolving: Resolving, at: string[], raw: RawProvider): string {
  const url = new URL(raw.baseUrl ?? DEFAULT_BASE_URL[raw.dialect]);
  if (url.protocol !== "https:" && !isLoopback(url.hostname.replace(/^\[|\]$/g, "")))
    addFault(resolving, [...at, "baseUrl"], "must be https://: the key and every prompt go there");
  const path = url.pathname.replace(/\/+$/, "");
  if (raw.azure !== undefined) return url.origin + path;
  if (raw.dialect === "anthropic") return `${url.origin}${path.replace(/\/v1$/, "")}/v1`;
  return url.origin + (path === "" ? "/v1" : path);
}

function headersOf(resolving: Resolving, at: string[], raw: RawProvider): Array<readonly [string, Secret]> {
  const headers: Array<readonly [string, Secret]> = [];
  if (raw.organization !== undefined) headers.push(["openai-organization", new Secret(raw.organization)]);
  if (raw.project !== undefined) headers.push(["openai-project", new Secret(raw.project)]);
  for (const [name, value] of Object.entries(raw.headers ?? {})) {
    const isReference = /^(?:env|file):/.test(value);
    const secret = isReference ? readSecret(resolving, [...at, "headers", name], value) : new Secret(value);
    if (secret !== null) headers.push([name.toLowerCase(), secret]);
  }
  return headers;
}

function modelsOf(resolving: Resolving, provider: string, { models }: RawProvider): ProviderModelConfig[] {
  const found: ProviderModelConfig[] = [];
  const plain = (name: string | null, model: string) => ({ name, model, operations: null, contextLength: null });
  if (Array.isArray(models)) found.push(...[...new Set(models)].map((name) => plain(name, name)));
  else if (typeof models === "object") {
    for (const [name, one] of Object.entries(models)) {
      if (typeof one === "string") found.push(plain(name, one));
      else {
        const { model, operations = null, contextLength = null } = one;
        found.push({ name, model, operations, contextLength });
      }
    }
  }
  for (const { targets = [] } of Object.values(resolving.raw.models ?? {})) {
    for (const target of targets) {
      if (target.provider !== provider) continue;
      if (found.some(({ name, model }) => name === target.model || model === target.model)) continue;
      found.push(plain(null, target.model));
    }
  }
  return found;
}

function refuseUnknown(resolving: Resolving): void {
  const { raw } = resolving;
  for (const [name, { targets = [] }] of Object.entries(raw.models ?? {})) {
    targets.forEach(({ provider }, index) => {
      if (provider === undefined || raw.providers?.[provider] !== undefined) return;
      addFault(resolving, ["models", name, "targets", index, "provider"], `names "${provider}", which is no provider`);
    });
  }
}

/** What is not counted cannot be capped, and would be asked for ever. */
function refuseUnpriced(
  resolving: Resolving,
  provider: string,
  { spend }: RawProvider,
  models: readonly ProviderModelConfig[],
): void {
  if (spend?.day?.hard === undefined && spend?.month?.hard === undefined) return;
  const rules = Object.keys(resolving.raw.prices ?? {});
  for (const { name, model } of models) {
    const names = [
      `provider/${provider}/${model}`,
      ...(name === null ? aliasesOf(resolving, provider, model) : [name]),
    ];
    if (rules.some((rule) => names.some((one) => matchesGlob(rule, one)))) continue;
    const rule = `has a hard cap, and "${name ?? model}" has no price: add one to \`prices\`, like "provider/${provider}/${model}"`;
    addFault(resolving, ["providers", provider, "spend"], rule);
  }
}

function aliasesOf({ raw }: Resolving, provider: string, model: string): string[] {
  return Object.entries(raw.models ?? {}).flatMap(([alias, { targets = [] }]) =>
    targets.some((one) => one.provider === provider && one.model === model)
      ? [alias.includes("*") ? model : alias]
      : [],
  );
}

function capOf(cap: { hard?: number | undefined; soft?: number | undefined } | undefined): SpendCap {
  const micros = (dollars: number | undefined) => (dollars === undefined ? null : Math.round(dollars * 1_000_000));
  return { softMicros: micros(cap?.soft), hardMicros: micros(cap?.hard) };
}
