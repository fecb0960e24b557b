import { createHash, randomBytes, randomInt } from "node:crypto";
import { Secret } from "../lib/secret.ts";

const PREFIX = "pstn_";
const ID_CHARACTERS = 12;
const SECRET_BYTES = 32;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const PATTERN = /^pstn_([0-9A-Za-z]{12})_([0-9A-Za-z_-]{43})_([0-9A-Za-z_-]{43})$/;

/** A fresh invitation. `code` is shown once; `id` and `hash` are what the store keeps. */
export interface NewInvitation {
  code: Secret;
  id: string;
  /** SHA-256 of the secret part, 32 bytes. */
  hash: Uint8Array;
}

/** What an invitation code says. */
export interface Invitation {
  id: string;
  secret: Secret;
  /** Fingerprint of the gateway's identity: whom the agent will trust. */
  gatewayFingerprint: string;
}

/** Makes an invitation: `pstn_` id `_` secret (256 bits) `_` fingerprint of the gateway's identity. */
export function createInvitation(gatewayFingerprint: string): NewInvitation {
  const id = Array.from({ length: ID_CHARACTERS }, () => BASE62[randomInt(BASE62.length)]).join("");
  const secret = randomBytes(SECRET_BYTES).toString("base64url");
  return {
    code: new Secret(`${PREFIX}${id}_${secret}_${gatewayFingerprint}`),
    id,
    hash: hashInvitationSecret(secret),
  };
}

/** Reads an invitation code; surrounding white space is dropped. Null when it is anything else. Does not throw. */
export function parseInvitation(text: string): Invitation | null {
  const match = PATTERN.exec(text.trim());
  const [, id, secret, gatewayFingerprint] = match ?? [];
  if (id === undefined || secret === undefined || gatewayFingerprint === undefined) return null;
  if (!isCanonical(secret) || !isCanonical(gatewayFingerprint)) return null;
  return { id, secret: new Secret(secret), gatewayFingerprint };
}

/** SHA-256 of the secret part as it stands in the code; the only form that is ever stored. */
export function hashInvitationSecret(secret: string): Uint8Array {
  return createHash("sha256").update(secret, "latin1").digest();
}

/** 43 base64url characters carry 258 bits for 256: the two left over must be zero, or one value has four spellings. */
function isCanonical(text: string): boolean {
  return Buffer.from(text, "base64url").toString("base64url") === text;
}
