import { z } from "zod";
import { readPrefix } from "../lib/cidr.ts";
import { DURATION_RULE, parseDuration } from "../lib/duration.ts";
import { parseSize, SIZE_RULE } from "../lib/size.ts";
import { LISTEN_RULE, parseListen } from "./listen-address.ts";

export const MiB = 1024 ** 2;
export const GiB = 1024 ** 3;
export const DAY_MS = 86_400_000;

/** Largest number of entries in one map or list of the file. */
export const MAX_ENTRIES = 1000;

/** Names of nodes, engines and the like, as they appear in headers and on the command line. */
export const configName = z.string().regex(/^[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?$/, {
  error: 'must be lower-case letters, digits, ".", "_" and "-", at most 64',
});

/** Name of a model, as callers and engines write it. */
export const modelName = z.string().regex(/^[^\p{Cc}\s]{1,256}$/u, {
  error: "must be 1 to 256 characters without spaces or control characters",
});

/** A time like `30s`; read as milliseconds. Not above 30 days unless `maxMs` says so. */
export function duration(bounds: { minMs?: number; maxMs?: number; min?: string; max?: string }) {
  const { minMs = 0, maxMs = 30 * DAY_MS, min = "0s", max = "30d" } = bounds;
  return quantity({ read: parseDuration, rule: DURATION_RULE, least: minMs, most: maxMs, min, max }).register(
    z.globalRegistry,
    { "x-kind": "duration", pattern: "^[0-9]+(ms|s|m|h|d)$" },
  );
}

/** A size like `8MiB`; read as bytes. */
export function size(bounds: { minBytes: number; maxBytes: number; min: string; max: string }) {
  const { minBytes, maxBytes, min, max } = bounds;
  return quantity({ read: parseSize, rule: SIZE_RULE, least: minBytes, most: maxBytes, min, max }).register(
    z.globalRegistry,
    { "x-kind": "size", pattern: "^[0-9]+(B|KiB|MiB|GiB|TiB)$" },
  );
}

interface Quantity {
  read: (text: string) => number | null;
  rule: string;
  least: number;
  most: number;
  /** How the bounds are written. */
  min: string;
  max: string;
}

const anyText = z.string();

/** A number written with its unit. In one step: as a chain of zod's own, the hundred of them in the file take a megabyte. */
function quantity({ read, rule, least, most, min, max }: Quantity) {
  return anyText.transform((text, context) => {
    const value = read(text);
    if (value !== null && value >= least && value <= most) return value;
    const broken = value === null ? rule : value < least ? `at least ${min}` : `at most ${max}`;
    context.addIssue({ code: "custom", message: `must be ${broken}` });
    return z.NEVER;
  });
}

const wholeNumber = z.int();

/** A whole number. */
export function count(min: number, max: number) {
  return wholeNumber.check(z.gte(min), z.lte(max));
}

/** `HOST:PORT`. */
export function listen() {
  return z
    .string()
    .refine((text) => parseListen(text) !== null, { error: `must be ${LISTEN_RULE}`, abort: true })
    .transform((text) => parseListen(text) ?? { host: "127.0.0.1", port: 0 })
    .meta({ "x-kind": "listen" });
}

/** An IP address or a CIDR prefix. */
export function addressRange() {
  return z
    .string()
    .superRefine((text, context) => {
      const { fault } = readPrefix(text);
      if (fault !== null) context.addIssue({ code: "custom", message: fault });
    })
    .meta({ "x-kind": "address range" });
}

/** Scheme, host and port, without a path. */
export function origin(what: string) {
  return z
    .string()
    .refine((text) => readUrl(text, true) !== null, {
      error: `must be ${what}: http:// or https://, host and port, without a path`,
    })
    .transform((text) => readUrl(text, true) ?? text)
    .meta({ "x-kind": "origin" });
}

/** Address of an engine; may have a path. */
export function engineUrl() {
  return z
    .string()
    .refine((text) => readUrl(text, false) !== null, {
      error: "must be the engine's address: http:// or https:// with a host, without credentials, query or fragment",
    })
    .transform((text) => readUrl(text, false) ?? text)
    .meta({ "x-kind": "url" });
}

function readUrl(text: string, originOnly: boolean): string | null {
  const url = URL.parse(text);
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "") return null;
  if (url.search !== "" || url.hash !== "" || /[?#]/.test(text)) return null;
  if (originOnly && url.pathname !== "/") return null;
  return originOnly ? url.origin : url.href.replace(/\/+$/, "");
}

const secretPlace = z.string().regex(/^(?:env:[A-Za-z_][A-Za-z0-9_]*|file:.+)$/, {
  error: "must be env:NAME or file:PATH, never the secret itself",
});

/** Where a secret is: never the secret itself. */
export function secret(what: string) {
  const description = `${what}, as \`env:NAME\` (an environment variable) or \`file:PATH\`.`;
  return secretPlace.meta({ "x-kind": "secret", description });
}

const anyPath = z.string().min(1).max(4096);

/** A file; relative to the configuration file. */
export function path(what: string) {
  return anyPath.meta({ "x-kind": "path", description: `${what}; relative to the configuration file.` });
}
