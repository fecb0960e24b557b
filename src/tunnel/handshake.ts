import { z } from "zod";
import {
  CAPABILITIES,
  HANDSHAKE_BODY_LIMIT,
  HANDSHAKE_HEADER_LIMIT,
  IDENTITY_CHAIN_LIMIT,
  MAX_LINKS,
  NONCE_BYTES,
  PROTOCOL_MAX,
  PROTOCOL_MIN,
} from "./constants.ts";

/**
 * The messages of the handshake (SPEC "Handshake") and how they are written: JSON, in a header as base64url.
 * Readers are tolerant of members they do not know and strict about everything else.
 */

function bytes(length: number) {
  return z
    .string()
    .max(Math.ceil((length * 4) / 3))
    .regex(/^[0-9A-Za-z_-]*$/)
    .transform((text): Uint8Array => new Uint8Array(Buffer.from(text, "base64url")))
    .refine((value) => value.length === length);
}

const nonce = bytes(NONCE_BYTES);
const publicKey = bytes(32);
const signature = bytes(64);
const fingerprint = z.string().regex(/^[0-9A-Za-z_-]{43}$/);
const protocolVersion = z.int().min(1).max(1000);
const capabilities = z.array(z.string().min(1).max(32)).max(32);
/** `host` or `host:port`; also IPv6 in brackets. */
const publicName = z
  .string()
  .max(261)
  .regex(/^(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/);

const helloSchema = z.object({
  nonce,
  /** Fingerprint of the connector's public key; also before it has joined. */
  connector: fingerprint,
  slot: z
    .int()
    .min(0)
    .max(MAX_LINKS - 1),
  epoch: z.int().min(1).max(Number.MAX_SAFE_INTEGER),
  protocol: z.object({ min: protocolVersion, max: protocolVersion }),
  /** Capabilities without which the agent cannot work here. */
  requires: capabilities,
  /** Capabilities that the agent could use. */
  offers: capabilities,
  tables: z.object({ operations: z.int().min(0).max(1_000_000), fields: z.int().min(0).max(1_000_000) }),
  name: publicName,
  transport: z.enum(["tls", "plain"]),
  version: z.string().min(1).max(64),
  attempt: z.int().min(0).max(1_000_000_000),
});

const challengeSchema = z.object({
  nonce,
  publicKey,
  chain: z.array(z.object({ publicKey, signature })).max(IDENTITY_CHAIN_LIMIT),
  version: protocolVersion,
  binding: z.enum(["exporter", "webpki", "loopback"]),
  signature,
});

const proofSchema = z.object({
  nonce,
  signature,
  join: z
    .object({
      id: z.string().regex(/^[0-9A-Za-z]{12}$/),
      secret: z.string().regex(/^[0-9A-Za-z_-]{43}$/),
      publicKey,
    })
    .optional(),
});

const acceptanceSchema = z.object({
  instance: z.string().min(1).max(64),
  instances: z.int().min(1).max(1000),
  version: protocolVersion,
  capabilities,
  heartbeatMs: z.int().min(1000).max(60_000),
  node: z.object({ id: z.string().min(1).max(64), name: z.string().min(1).max(128) }),
});

const refusalSchema = z.object({
  code: z.string().min(1).max(32),
  message: z.string().max(300),
  permanent: z.boolean(),
  retryAfterSeconds: z.number().min(0).max(3600),
  /** With `stale_epoch`: the agent's next epoch must be greater than this. */
  epochFloor: z.int().min(0).optional(),
});

export type Hello = z.infer<typeof helloSchema>;
export type Challenge = z.infer<typeof challengeSchema>;
export type Proof = z.infer<typeof proofSchema>;
export type Acceptance = z.infer<typeof acceptanceSchema>;
export type Refusal = z.infer<typeof refusalSchema>;

/** Codes that a gateway of this version refuses with. An agent must survive one it does not know. */
export type RefusalCode =
  | "bad_request"
  | "unauthorized"
  | "invitation_refused"
  | "version_mismatch"
  | "capability_unknown"
  | "stale_epoch"
  | "not_secure"
  | "rate_limited"
  | "busy"
  | "shutting_down";

/** Status of each refusal. */
export const REFUSAL_STATUS: Readonly<Record<RefusalCode, number>> = {
  bad_request: 400,
  unauthorized: 401,
  invitation_refused: 401,
  version_mismatch: 426,
  capability_unknown: 426,
  stale_epoch: 409,
  not_secure: 403,
  rate_limited: 429,
  busy: 503,
  shutting_down: 503,
};

/** Makes a refusal. `permanent` says that dialling again without a change by a person is pointless. */
export function refusal(
  code: RefusalCode,
  message: string,
  fields: { permanent?: boolean; retryAfterSeconds?: number; epochFloor?: number } = {},
): Refusal & { code: RefusalCode } {
  return {
    code,
    message,
    permanent: fields.permanent ?? false,
    retryAfterSeconds: fields.retryAfterSeconds ?? 0,
    ...(fields.epochFloor === undefined ? {} : { epochFloor: fields.epochFloor }),
  };
}

/** Reads a hello from its header; null when it is absent, too long or not one. Does not throw. */
export function readHello(header: string | undefined): Hello | null {
  return readHeader(header, helloSchema);
}

/** Reads the proof from `Authorization: Postern …` without the scheme. Does not throw. */
export function readProof(header: string | undefined): Proof | null {
  return readHeader(header, proofSchema);
}

/** Reads the acceptance from the header of the 101. Does not throw. */
export function readAcceptance(header: string | undefined): Acceptance | null {
  return readHeader(header, acceptanceSchema);
}

/** Reads the gateway's challenge from a body. Does not throw. */
export function readChallenge(body: string): Challenge | null {
  return body.length > HANDSHAKE_BODY_LIMIT ? null : readJson(body, challengeSchema);
}

/** Reads the acceptance of a join from a body. Does not throw. */
export function readJoined(body: string): Acceptance | null {
  return body.length > HANDSHAKE_BODY_LIMIT ? null : readJson(body, acceptanceSchema);
}

/** Reads a refusal from a body; null when it is somebody else's page. Does not throw. */
export function readRefusal(body: string): Refusal | null {
  return body.length > HANDSHAKE_BODY_LIMIT ? null : readJson(body, refusalSchema);
}

/** A message as JSON, byte arrays as base64url. */
export function writeJson(message: object): string {
  return JSON.stringify(message, function (this: Record<string, unknown>, name, value: unknown) {
    // `value` has been through `Buffer.toJSON` already.
    const raw = this[name];
    return raw instanceof Uint8Array ? Buffer.from(raw).toString("base64url") : value;
  });
}

/** A message as the value of a header. */
export function writeHeader(message: object): string {
  return Buffer.from(writeJson(message), "utf8").toString("base64url");
}

/** The version both ends speak: the highest common one, or null. */
export function chooseVersion(offered: { min: number; max: number }): number | null {
  const version = Math.min(offered.max, PROTOCOL_MAX);
  return version >= Math.max(offered.min, PROTOCOL_MIN) ? version : null;
}

/** Capabilities in use on a link, or the first one that the agent requires and this program does not know. */
export function chooseCapabilities(hello: Pick<Hello, "requires" | "offers">): string[] | { unknown: string } {
  const unknown = hello.requires.find((name) => !CAPABILITIES.includes(name));
  if (unknown !== undefined) return { unknown };
  const wanted = new Set([...hello.requires, ...hello.offers]);
  return CAPABILITIES.filter((name) => wanted.has(name));
}

function readHeader<T>(header: string | undefined, schema: z.ZodType<T>): T | null {
  if (header === undefined || header.length > HANDSHAKE_HEADER_LIMIT || !/^[0-9A-Za-z_-]+$/.test(header)) return null;
  return readJson(Buffer.from(header, "base64url").toString("utf8"), schema);
}

function readJson<T>(text: string, schema: z.ZodType<T>): T | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  const result = schema.safeParse(value);
  return result.success ? result.data : null;
}
