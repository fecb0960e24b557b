import { DEFAULT_FIELD_POLICY, type FieldPolicy } from "../dialects/field-policy.ts";
import type { EngineAddress, StartedEngineConfig } from "./agent-config.ts";
import { DEFAULT_CAPTURE, DEFAULT_EDGE } from "./defaults.ts";
import { resolveEndpoints, resolveProxies, resolveRules } from "./resolve-access.ts";
import { resolveAlerts } from "./resolve-alerts.ts";
import { resolveContinuity } from "./resolve-continuity.ts";
import { addFault, locateFile, placeOf, type Resolving, readSecret } from "./resolve-file.ts";
import { resolveProviders } from "./resolve-providers.ts";
import type { KeyTemplate, ResolvedConfig, TimeoutConfig, TlsConfig, TlsFiles } from "./resolved.ts";
import type { RawConfig, RawEngineAddress, RawFieldRules } from "./schema.ts";

/** Fills defaults in, locates files and reads secrets of the part that asks. Faults are added to `faults`, never thrown. */
export function resolveConfig(resolving: Resolving): ResolvedConfig {
  const { raw, base, part } = resolving;
  const { limits = {}, timeouts = {}, queue = {} } = raw.gateway ?? {};
  const forGateway = part === "gateway" || part === "check";
  const forAgent = part === "agent" || part === "check";
  const tlsFiles = (at: string[], files: { cert: string; key: string }) => ({
    certFile: locateFile(resolving, [...at, "cert"], files.cert, forGateway),
    keyFile: locateFile(resolving, [...at, "key"], files.key, forGateway),
  });
  const resolvedTimeouts: TimeoutConfig = {
    connectMs: timeouts.connect ?? base.gateway.timeouts.connectMs,
    firstTokenMs: timeouts.firstToken ?? base.gateway.timeouts.firstTokenMs,
    firstTokenColdMs: timeouts.firstTokenCold ?? base.gateway.timeouts.firstTokenColdMs,
    firstTokenColdPerGibMs: timeouts.firstTokenColdPerGib ?? base.gateway.timeouts.firstTokenColdPerGibMs,
    firstTokenProviderMs: timeouts.firstTokenProvider ?? base.gateway.timeouts.firstTokenProviderMs,
    betweenTokensMs: timeouts.betweenTokens ?? base.gateway.timeouts.betweenTokensMs,
    betweenTokensProviderMs: timeouts.betweenTokensProvider ?? base.gateway.timeouts.betweenTokensProviderMs,
    totalMs: timeouts.total ?? base.gateway.timeouts.totalMs,
    holdMs: timeouts.hold ?? base.gateway.timeouts.holdMs,
    loadingMs: timeouts.loading ?? base.gateway.timeouts.loadingMs,
    keepAliveMs: timeouts.keepAlive ?? base.gateway.timeouts.keepAliveMs,
    callerIdleMs: timeouts.callerIdle ?? base.gateway.timeouts.callerIdleMs,
    requestHeadMs: timeouts.requestHead ?? base.gateway.timeouts.requestHeadMs,
    requestBodyMs: timeouts.requestBody ?? base.gateway.timeouts.requestBodyMs,
    idleMs: timeouts.idle ?? base.gateway.timeouts.idleMs,
    drainMs: timeouts.drain ?? base.gateway.timeouts.drainMs,
  };
  return {
    ...base,
    file: resolving.file,
    gateway: {
      listen: raw.gateway?.listen ?? base.gateway.listen,
      publicUrl: raw.gateway?.publicUrl ?? null,
      tls: resolveTls(resolving, raw.gateway?.tls, tlsFiles, forGateway),
      plainListen: raw.gateway?.plainListen ?? null,
      cors:
        raw.gateway?.cors === undefined
          ? null
          : {
              origins: raw.gateway.cors.origins,
              maxAgeMs: raw.gateway.cors.maxAge ?? DEFAULT_EDGE.corsMaxAgeMs,
            },
      agents:
        raw.gateway?.agents === undefined
          ? null
          : {
              listen: raw.gateway.agents.listen,
              tls: tlsFiles(["gateway", "agents", "tls"], raw.gateway.agents.tls),
            },
      admin: {
        listen: raw.gateway?.admin?.listen ?? base.gateway.admin.listen,
        tls:
          raw.gateway?.admin?.tls === undefined ? null : tlsFiles(["gateway", "admin", "tls"], raw.gateway.admin.tls),
        hosts: raw.gateway?.admin?.hosts ?? [],
      },
      trustedProxies: resolveProxies(resolving, forGateway),
      limits: {
        bodyBytes: limits.body ?? base.gateway.limits.bodyBytes,
        bodyMemoryBytes: limits.bodyMemory ?? base.gateway.limits.bodyMemoryBytes,
        headersBytes: limits.headers ?? base.gateway.limits.headersBytes,
        headerCount: limits.headerCount ?? base.gateway.limits.headerCount,
        jsonDepth: limits.jsonDepth ?? base.gateway.limits.jsonDepth,
        jsonValues: limits.jsonValues ?? base.gateway.limits.jsonValues,
        connections: limits.connections ?? base.gateway.limits.connections,
        connectionsPerAddress: limits.connectionsPerAddress ?? base.gateway.limits.connectionsPerAddress,
        bodyRateBytes: limits.bodyRate ?? base.gateway.limits.bodyRateBytes,
        readRateBytes: limits.readRate ?? base.gateway.limits.readRateBytes,
        requests: limits.requests ?? base.gateway.limits.requests,
        requestsPerKey: limits.requestsPerKey ?? base.gateway.limits.requestsPerKey,
        requestsPerAddress: limits.requestsPerAddress ?? base.gateway.limits.requestsPerAddress,
        attempts: limits.attempts ?? base.gateway.limits.attempts,
        authFailuresPerMinute: limits.authFailuresPerMinute ?? base.gateway.limits.authFailuresPerMinute,
        handshakes: limits.handshakes ?? base.gateway.limits.handshakes,
        links: limits.links ?? base.gateway.limits.links,
      },
      timeouts: resolvedTimeouts,
      queue: {
        requests: queue.requests ?? base.gateway.queue.requests,
        bytes: queue.bytes ?? base.gateway.queue.bytes,
        waitMs: queue.wait ?? base.gateway.queue.waitMs,
        wakeMs: queue.wake ?? base.gateway.queue.wakeMs,
        weights: new Map(Object.entries(queue.weights ?? {})),
      },
      fields: resolveFields(raw.gateway?.fields ?? {}),
      optional: (raw.gateway?.optional ?? []).map((name) => `openai.${name}`),
    },
    endpoints: resolveEndpoints(resolving, forGateway),
    access: { rules: resolveRules(resolving) },
    storage: {
      capture:
        raw.storage?.capture === undefined
          ? null
          : {
              maxRetentionMs: raw.storage.capture.retention ?? DEFAULT_CAPTURE.maxRetentionMs,
              itemBytes: raw.storage.capture.item ?? DEFAULT_CAPTURE.itemBytes,
              totalBytes: raw.storage.capture.total ?? DEFAULT_CAPTURE.totalBytes,
            },
      requestRetentionMs:
        raw.storage?.requestRetention === "forever"
          ? null
          : (raw.storage?.requestRetention ?? base.storage.requestRetentionMs),
      auditRetentionMs:
        raw.storage?.auditRetention === undefined || raw.storage.auditRetention === "forever"
          ? null
          : raw.storage.auditRetention,
      syncEveryMs: raw.storage?.syncEvery ?? base.storage.syncEveryMs,
    },
    nodes: Object.entries(raw.nodes ?? {}).map(([name, node]) => ({
      name,
      place: placeOf(resolving, ["nodes", name]),
      tags: node.tags ?? [],
      locality: node.locality ?? "own",
      ...resolveEngine(resolving, ["nodes", name], node, forGateway),
    })),
    providers: resolveProviders(resolving, resolvedTimeouts, forGateway),
    models: Object.entries(raw.models ?? {}).map(([name, { targets, hidden, strategy, required, rescue }]) => ({
      name,
      targets: (targets ?? []).map((target) => ({
        model: target.model,
        node: target.node ?? null,
        provider: target.provider ?? null,
        weight: target.weight ?? null,
      })),
      isHidden: hidden ?? false,
      strategy: strategy ?? null,
      isRequired: required ?? false,
      isRescued: rescue ?? false,
    })),
    keyTemplates: new Map(Object.entries(raw.access?.templates ?? {}).map(resolveTemplate)),
    prices: Object.entries(raw.prices ?? {}).map(([model, { input, output, cached }]) => ({
      model,
      inputMicros: toMicros(input),
      outputMicros: toMicros(output),
      cachedMicros: toMicros(cached ?? input),
    })),
    continuity: resolveContinuity(resolving),
    alerts: resolveAlerts(resolving, forGateway),
    agent: {
      gateway: raw.agent?.gateway ?? null,
      node: raw.agent?.node ?? null,
      discover: raw.agent?.discover ?? base.agent.discover,
      wakeOnLan: raw.agent?.wakeOnLan ?? base.agent.wakeOnLan,
      engines: Object.entries(raw.agent?.engines ?? {}).flatMap(([name, { url, start, ...engine }]) =>
        url === undefined || start !== undefined
          ? []
          : [
              {
                name,
                ...resolveEngine(resolving, ["agent", "engines", name], { ...engine, url }, forAgent),
                exposureAccepted: engine.exposureAccepted ?? false,
              },
            ],
      ),
      started: Object.entries(raw.agent?.engines ?? {}).flatMap(([name, engine]) => resolveStarted(name, engine)),
      embedded: {
        mode: raw.agent?.embedded?.mode ?? base.agent.embedded.mode,
        modelPath:
          raw.agent?.embedded?.model === undefined
            ? null
            : locateFile(resolving, ["agent", "embedded", "model"], raw.agent.embedded.model, forAgent),
      },
      guard: {
        fields: resolveFields(raw.agent?.guard ?? {}),
        remoteModels: raw.agent?.guard?.remoteModels ?? [],
      },
    },
  };
}

type RawTls = NonNullable<NonNullable<RawConfig["gateway"]>["tls"]>;

function resolveTls(
  resolving: Resolving,
  tls: RawTls | undefined,
  tlsFiles: (at: string[], files: { cert: string; key: string }) => TlsFiles,
  isOurs: boolean,
): TlsConfig | null {
  if (tls === undefined) return null;
  const at = ["gateway", "tls"];
  const { acme, clientCertificates } = tls;
  if (acme !== undefined && (acme.challenge ?? DEFAULT_EDGE.challenge) === "http-01") {
    const rule = 'of "http-01" is asked on port 80: set gateway.plainListen (like "0.0.0.0:80"), or take "tls-alpn-01"';
    if (resolving.raw.gateway?.plainListen === undefined) addFault(resolving, [...at, "acme", "challenge"], rule);
  }
  const locateCa = (ca: string | undefined) =>
    ca === undefined ? null : locateFile(resolving, [...at, "clientCertificates", "ca"], ca, isOurs);
  return {
    source:
      acme === undefined
        ? tlsFiles(at, { cert: tls.cert ?? "", key: tls.key ?? "" })
        : {
            directory: acme.directory ?? DEFAULT_EDGE.directory,
            email: acme.email ?? null,
            domains: [...new Set(acme.domains)],
            challenge: acme.challenge ?? DEFAULT_EDGE.challenge,
            caFile: acme.ca === undefined ? null : locateFile(resolving, [...at, "acme", "ca"], acme.ca, isOurs),
          },
    minVersion: tls.minVersion ?? DEFAULT_EDGE.minVersion,
    clientCertificates: clientCertificates === undefined ? null : { caFile: locateCa(clientCertificates.ca) },
    hstsMs: tls.hsts ?? DEFAULT_EDGE.hstsMs,
  };
}

type RawTemplates = NonNullable<NonNullable<RawConfig["access"]>["templates"]>;

function resolveTemplate([name, { expiresIn, ...words }]: [string, RawTemplates[string]]): [string, KeyTemplate] {
  return [name, expiresIn === undefined ? words : { ...words, expiresInMs: expiresIn }];
}

function toMicros(dollars: number): number {
  return Math.round(dollars * 1_000_000);
}

function resolveFields(raw: RawFieldRules): FieldPolicy {
  return {
    unknown: raw.unknown ?? DEFAULT_FIELD_POLICY.unknown,
    allow: raw.allow ?? DEFAULT_FIELD_POLICY.allow,
    maxChoices: raw.maxChoices ?? DEFAULT_FIELD_POLICY.maxChoices,
    maxTokens: raw.maxTokens ?? DEFAULT_FIELD_POLICY.maxTokens,
    maxContext: raw.maxContext ?? DEFAULT_FIELD_POLICY.maxContext,
    maxKeepAliveSeconds:
      raw.maxKeepAlive === undefined ? DEFAULT_FIELD_POLICY.maxKeepAliveSeconds : Math.floor(raw.maxKeepAlive / 1000),
    remoteMedia: raw.remoteMedia ?? DEFAULT_FIELD_POLICY.remoteMedia,
  };
}

type RawAgentEngine = NonNullable<NonNullable<RawConfig["agent"]>["engines"]>[string];

function resolveStarted(name: string, { kind, start }: RawAgentEngine): StartedEngineConfig[] {
  if (start === undefined || (kind !== "llama-server" && kind !== "vllm")) return [];
  return [
    {
      name,
      kind,
      program: start.program ?? kind,
      args: start.args ?? [],
      port: start.port ?? null,
      environment: start.environment ?? {},
    },
  ];
}

function resolveEngine(resolving: Resolving, path: string[], raw: RawEngineAddress, isOurs: boolean): EngineAddress {
  return {
    url: raw.url,
    kind: raw.kind ?? null,
    slots: raw.slots ?? null,
    apiKey: raw.apiKey === undefined || !isOurs ? null : readSecret(resolving, [...path, "apiKey"], raw.apiKey),
    host: raw.host ?? null,
    caFile: raw.ca === undefined ? null : locateFile(resolving, [...path, "ca"], raw.ca, isOurs),
    serverName: raw.serverName ?? null,
  };
}
