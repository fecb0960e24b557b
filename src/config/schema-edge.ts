import { z } from "zod";
import { count, DAY_MS, duration, GiB, MAX_ENTRIES, MiB, path, size } from "./schema-values.ts";

/** `gateway.limits`. */
export const limits = z.strictObject({
  body: size({ minBytes: 1024, maxBytes: GiB, min: "1KiB", max: "1GiB" }).optional().describe("Largest request body."),
  bodyMemory: size({ minBytes: MiB, maxBytes: 64 * GiB, min: "1MiB", max: "64GiB" })
    .optional()
    .describe("Sum of all request bodies held at one time; beyond it new bodies get 503."),
  headers: size({ minBytes: 4096, maxBytes: 256 * 1024, min: "4KiB", max: "256KiB" })
    .optional()
    .describe("Largest request head."),
  headerCount: count(10, 2000).optional().describe("Most header fields of a request."),
  jsonDepth: count(8, 1000).optional().describe("Deepest nesting of a JSON body."),
  jsonValues: count(100, 10_000_000).optional().describe("Most values in a JSON body."),
  connections: count(1, 1_000_000).optional().describe("Open connections on one public listener."),
  connectionsPerAddress: count(1, 1_000_000)
    .optional()
    .describe(
      "Open connections from one address (IPv6: from one /64). Loopback and `trustedProxies` are not counted this way.",
    ),
  bodyRate: size({ minBytes: 1, maxBytes: GiB, min: "1B", max: "1GiB" })
    .optional()
    .describe(
      "Least that a request body must arrive at per second, after ten seconds of grace; a slower one gets 408.",
    ),
  readRate: size({ minBytes: 1, maxBytes: GiB, min: "1B", max: "1GiB" })
    .optional()
    .describe(
      "Least that an answer must be taken at per second, after `timeouts.callerIdle` of grace; slower connections are cut.",
    ),
  requests: count(1, 1_000_000).optional().describe("Inference requests running at one time."),
  requestsPerKey: count(1, 1_000_000).optional().describe("Inference requests running at one time with one key."),
  requestsPerAddress: count(1, 1_000_000)
    .optional()
    .describe(
      "Inference requests running at one time for one caller's address (IPv6: one /64). Loopback is not counted.",
    ),
  attempts: count(1, 6)
    .optional()
    .describe("Attempts for one request before its caller is told of the failure; `1`: none but the first."),
  authFailuresPerMinute: count(1, 100_000)
    .optional()
    .describe("Failed authentications per minute from one address before it gets 429."),
  handshakes: count(1, 10_000).optional().describe("Tunnel handshakes under way at one time."),
  links: count(1, 1_000_000).optional().describe("Live links of all agents."),
});

const short = { minMs: 10, min: "10ms" };

/** `gateway.timeouts`. */
export const timeouts = z.strictObject({
  connect: duration(short).optional().describe("Connection to an engine."),
  firstToken: duration(short).optional().describe("First token of a model that is loaded, on a node of your own."),
  firstTokenCold: duration(short).optional().describe("First token of a model that must be loaded first."),
  firstTokenColdPerGib: duration({}).optional().describe("Added to `firstTokenCold` for each GiB of the model."),
  firstTokenProvider: duration(short).optional().describe("First token of a provider."),
  betweenTokens: duration(short).optional().describe("Longest silence within an answer of a node of your own."),
  betweenTokensProvider: duration(short).optional().describe("Longest silence within an answer of a provider."),
  total: duration(short).optional().describe("A whole request."),
  hold: duration({}).optional().describe("How long an answer is held back for certainty before it is committed."),
  loading: duration({})
    .optional()
    .describe("How long a request waits for an engine that loads its model. `0s`: it is answered 503 at once."),
  keepAlive: duration(short).optional().describe("Silence towards the caller before a keep-alive is sent."),
  callerIdle: duration(short).optional().describe("A caller that neither sends nor takes a byte."),
  requestHead: duration(short).optional().describe("Head of a request, first byte to last."),
  requestBody: duration(short).optional().describe("Body of a request, first byte to last."),
  idle: duration({ minMs: 1000, min: "1s", maxMs: 3_600_000, max: "1h" })
    .optional()
    .describe(
      "A kept connection on which no request comes. Proxies in front should close first: theirs must be shorter.",
    ),
  drain: duration({}).optional().describe("How long running requests may finish when the gateway stops."),
});

/** `gateway.queue`. */
export const queue = z.strictObject({
  requests: count(0, 100_000).optional().describe("Most requests that wait at one time. `0`: none waits."),
  bytes: size({ minBytes: MiB, maxBytes: 64 * GiB, min: "1MiB", max: "64GiB" })
    .optional()
    .describe("Most bytes of their bodies. They count in `limits.bodyMemory` too."),
  wait: duration({})
    .optional()
    .describe("Longest wait for a free slot. `0s`: a request that finds none is answered 503 at once."),
  wake: duration({}).optional().describe("Longest wait for a machine that is woken. `0s`: no request waits for one."),
  weights: z
    .record(z.string().min(1).max(128), count(1, 100))
    .optional()
    .describe(
      "Turns that a key gets for each one of another, by the name of the key or of its workflow. Others have 1.",
    ),
});

/** A certificate of your own. */
export const tlsFiles = z.strictObject({
  cert: path("PEM file of the certificate chain"),
  key: path("PEM file of the certificate's key"),
});

/** A name that an authority can certify after a challenge over HTTP or TLS: no wildcard, no address. */
const certifiedName = z
  .string()
  .max(253)
  .regex(/^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/, {
    error: 'must be a host name in lower case, like "ai.example.org", without "*"',
  });

const acme = z.strictObject({
  directory: z
    .string()
    .refine((text) => URL.parse(text)?.protocol === "https:", { error: "must be an https:// address" })
    .optional()
    .describe("Directory of the certificate authority (RFC 8555). Left out: Let's Encrypt."),
  email: z
    .string()
    .max(254)
    .regex(/^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u, { error: "must be an e-mail address" })
    .optional()
    .describe("Where the authority may write to."),
  domains: z.array(certifiedName).min(1).max(100).describe("Names that the certificate is for."),
  challenge: z
    .enum(["http-01", "tls-alpn-01"])
    .optional()
    .describe(
      "How the authority checks that the names are yours: by asking `plainListen` on port 80, or the TLS listener on port 443.",
    ),
  termsAgreed: z
    .literal(true, { error: "must be true: read the terms of the authority first, then agree here" })
    .describe("That you agree to the authority's terms of service."),
  ca: path("PEM file of the authority that signed the directory's own certificate, for a private one").optional(),
});

const TLS_SHAPE = 'needs either "cert" and "key", or "acme"';

/** `gateway.tls`. */
export const publicTls = z
  .strictObject({
    cert: tlsFiles.shape.cert.optional(),
    key: tlsFiles.shape.key.optional(),
    acme: acme.optional().describe("A certificate that is ordered and renewed by itself."),
    minVersion: z
      .enum(["1.3", "1.2"])
      .optional()
      .describe("Oldest TLS that is spoken. With 1.2, only suites with forward secrecy and authenticated encryption."),
    clientCertificates: z
      .strictObject({
        ca: path(
          "PEM file of authorities: every caller must show a certificate of theirs, besides its key. Left out: only callers whose key has `clientCertificates` in its policy must show one, that very one",
        ).optional(),
      })
      .optional()
      .describe("Callers are asked for certificates of their own. Agents and health checks need none."),
    hsts: duration({ maxMs: 730 * DAY_MS, max: "730d" })
      .optional()
      .describe("For how long browsers must insist on https (`Strict-Transport-Security`). `0s`: not sent."),
  })
  .refine((tls) => (tls.acme === undefined) === (tls.cert !== undefined && tls.key !== undefined), { error: TLS_SHAPE })
  .refine((tls) => tls.acme === undefined || (tls.cert === undefined && tls.key === undefined), { error: TLS_SHAPE });

/** `gateway.cors`. */
export const cors = z.strictObject({
  origins: z
    .array(
      z
        .string()
        .max(2048)
        .refine((text) => URL.canParse(text) && new URL(text).origin === text, {
          error: 'must be an exact origin as browsers send it, like "https://app.example.org"; "*" is not possible',
        }),
    )
    .min(1)
    .max(MAX_ENTRIES)
    .describe("Origins whose pages may call the gateway, exactly as browsers send them."),
  maxAge: duration({ maxMs: DAY_MS, max: "1d" })
    .optional()
    .describe("For how long a browser may remember the answer to its preflight."),
});
