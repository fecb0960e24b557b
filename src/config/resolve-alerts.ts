import {
  type AlertRules,
  DEFAULT_RULES,
  isRuleName,
  RULE_NAMES,
  type RuleName,
  type RuleSettings,
} from "../continuity/alerts/rules.ts";
import { Secret } from "../lib/secret.ts";
import {
  type AlertChannelConfig,
  type AlertsConfig,
  DEFAULT_ALERTS,
  DEFAULT_HEARTBEAT_MS,
  DEFAULT_NTFY_URL,
} from "./alerts.ts";
import { reachOf } from "./reach.ts";
import { addFault, locateFile, type Resolving, readSecret } from "./resolve-file.ts";
import type { RawConfig } from "./schema.ts";
import type { RawAlertRule } from "./schema-alerts.ts";

type RawAlerts = NonNullable<RawConfig["alerts"]>;
type RawChannel = NonNullable<RawAlerts["channels"]>[string];

/** `alerts`, with its secrets where they are this program's to read. Adds a fault for an address of no use and for secrets in clear. */
export function resolveAlerts(resolving: Resolving, isOurs: boolean): AlertsConfig {
  const raw: RawAlerts = resolving.raw.alerts ?? {};
  const reader = new Reader(resolving, isOurs);
  return {
    rules: resolveRules((raw.rules ?? {}) as Readonly<Record<string, RawAlertRule | undefined>>),
    groupWaitMs: raw.groupWait ?? DEFAULT_ALERTS.groupWaitMs,
    groupIntervalMs: raw.groupInterval ?? DEFAULT_ALERTS.groupIntervalMs,
    repeatMs: raw.repeat ?? DEFAULT_ALERTS.repeatMs,
    historyMs: raw.history ?? DEFAULT_ALERTS.historyMs,
    channels: Object.entries(raw.channels ?? {}).map(([name, one]) => resolveChannel(reader, name, one)),
    heartbeat:
      raw.heartbeat === undefined
        ? null
        : {
            url: reader.url(["alerts", "heartbeat", "url"], raw.heartbeat.url, false),
            everyMs: raw.heartbeat.every ?? DEFAULT_HEARTBEAT_MS,
          },
  };
}

function resolveRules(raw: Readonly<Record<string, RawAlertRule | undefined>>): AlertRules {
  return Object.fromEntries(
    RULE_NAMES.map((name): [RuleName, RuleSettings] => {
      const base = DEFAULT_RULES[name];
      const rule = raw[name] ?? {};
      return [
        name,
        {
          isEnabled: rule.enabled ?? base.isEnabled,
          severity: rule.severity ?? base.severity,
          forMs: rule.for ?? base.forMs,
          resolveAfterMs: rule.resolveAfter ?? base.resolveAfterMs,
          threshold: rule.above ?? rule.within ?? base.threshold,
          windowMs: rule.window ?? base.windowMs,
          minRequests: rule.minRequests ?? base.minRequests,
        },
      ];
    }),
  ) as Record<RuleName, RuleSettings>;
}

const SMTP_PORTS = { starttls: 587, tls: 465, none: 25 } as const;

function resolveChannel(reader: Reader, name: string, raw: RawChannel): AlertChannelConfig {
  const at = ["alerts", "channels", name];
  const { severity = "info", rules, ca, acceptPlaintext = false } = raw;
  const any = {
    name,
    severity,
    rules: rules?.filter(isRuleName) ?? null,
    caFile: ca === undefined ? null : reader.file([...at, "ca"], ca),
  };
  const url = (value: string) => reader.url([...at, "url"], value, acceptPlaintext);
  const secret = (field: string, value: string | undefined) =>
    value === undefined ? null : reader.secret([...at, field], value);
  switch (raw.type) {
    case "webhook": {
      const key = secret("secret", raw.secret);
      if (key !== null && !isSigningKey(key.reveal())) {
        reader.fault([...at, "secret"], 'names a key that begins with "whsec_" and is not base64 behind it');
      }
      return { ...any, type: raw.type, url: url(raw.url), secret: key };
    }
    case "slack":
      return { ...any, type: raw.type, url: url(raw.url) };
    case "ntfy": {
      const topic = reader.secret([...at, "topic"], raw.topic);
      return {
        ...any,
        type: raw.type,
        url: url(raw.url ?? DEFAULT_NTFY_URL),
        topic,
        token: secret("token", raw.token),
      };
    }
    case "alertmanager":
      return { ...any, type: raw.type, url: url(raw.url), token: secret("token", raw.token) };
    case "smtp": {
      const { tls = "starttls", host, user, from, to } = raw;
      if (tls === "none" && !acceptPlaintext && !isNearby(host)) reader.fault([...at, "tls"], IN_CLEAR);
      if ((user === undefined) !== (raw.password === undefined)) {
        reader.fault(at, 'needs "user" and "password" together, or neither');
      }
      const password = secret("password", raw.password);
      return {
        ...any,
        type: raw.type,
        host,
        port: raw.port ?? SMTP_PORTS[tls],
        tls,
        user: user ?? null,
        password,
        from,
        to,
      };
    }
    default:
      return raw satisfies never;
  }
}

/** Any text, or the form that Standard Webhooks gave keys. */
function isSigningKey(text: string): boolean {
  return !text.startsWith("whsec_") || /^whsec_[A-Za-z0-9+/]{4,}={0,2}$/.test(text);
}

const IN_CLEAR = 'would send messages in clear over a network: use TLS, or say "acceptPlaintext: true"';

/** This machine, or an address that is not routed on the internet. */
function isNearby(host: string): boolean {
  const reach = reachOf(host.replace(/^\[|\]$/g, ""));
  return reach === "machine" || reach === "private";
}

/** Reads what the file refers to, if it is this program's to read. */
class Reader {
  readonly #resolving: Resolving;
  readonly #isOurs: boolean;

  constructor(resolving: Resolving, isOurs: boolean) {
    this.#resolving = resolving;
    this.#isOurs = isOurs;
  }

  secret(at: string[], reference: string): Secret {
    return (this.#isOurs ? readSecret(this.#resolving, at, reference) : null) ?? new Secret("");
  }

  file(at: string[], value: string): string {
    return locateFile(this.#resolving, at, value, this.#isOurs);
  }

  fault(at: string[], rule: string): void {
    addFault(this.#resolving, at, rule);
  }

  url(at: string[], reference: string, acceptPlaintext: boolean): Secret {
    const isReference = /^(?:env|file):/.test(reference);
    const value = isReference ? this.secret(at, reference) : new Secret(reference);
    const text = value.reveal();
    // Not read, or already a fault.
    if (text === "") return value;
    const url = URL.parse(text);
    if (url === null || !/^https?:$/.test(url.protocol)) this.fault(at, "must be an address: https://…");
    else if (url.username !== "" || url.password !== "") this.fault(at, "must not have a user or password in it");
    else if (url.protocol === "http:" && !acceptPlaintext && !isNearby(url.hostname)) this.fault(at, IN_CLEAR);
    return value;
  }
}
