import { hash } from "node:crypto";
import { Secret } from "../lib/secret.ts";

/** What every caller's key begins with; secret scanners find leaked ones by it. */
const KEY_PREFIX = "pst_";
/** Characters of public id: how a key is named in lists, logs and reports. */
const KEY_ID_LENGTH = 12;
/** Characters of secret: 43 of base62 are 256 bits. */
const KEY_SECRET_LENGTH = 43;
/** Length of a whole key. */
export const KEY_LENGTH = KEY_PREFIX.length + KEY_ID_LENGTH + 1 + KEY_SECRET_LENGTH;
/** Credentials of the same form for the admin API: tokens, and codes for the first user. They open nothing else. */
export type AdminPrefix = "psta_" | "psts_";

/** A key that was just made. `key` is shown once and then forgotten; `id` and `hash` are kept. */
export interface CreatedKey {
  key: Secret;
  id: string;
  hash: Uint8Array;
}

/**
 * Makes a key: `pst_` + public id + `_` + secret.
 *
 * @param randomBytes A CSPRNG (`node:crypto` `randomBytes`). Asked again where a byte would bias a character.
 * @param id Of a key that gets another secret. Left out: a new one.
 */
export function createKey(
  randomBytes: (size: number) => Uint8Array,
  id: string = base62(KEY_ID_LENGTH, randomBytes),
): CreatedKey {
  const key = `${KEY_PREFIX}${id}_${base62(KEY_SECRET_LENGTH, randomBytes)}`;
  return { key: new Secret(key), id, hash: hashKey(key) };
}

/** Makes a credential of the same form with another prefix. */
export function createAdminSecret(prefix: AdminPrefix, randomBytes: (size: number) => Uint8Array): CreatedKey {
  const id = base62(KEY_ID_LENGTH, randomBytes);
  const key = `${prefix}${id}_${base62(KEY_SECRET_LENGTH, randomBytes)}`;
  return { key: new Secret(key), id, hash: hashKey(key) };
}

/** The public id inside a key, or null when the text is not exactly of a key's form. Looks at the form alone. */
export function parseKey(text: string): { id: string } | null {
  return parse(KEY_PREFIX, text);
}

/** The same for the admin API's credentials. */
export function parseAdminSecret(prefix: AdminPrefix, text: string): { id: string } | null {
  return parse(prefix, text);
}

function parse(prefix: string, text: string): { id: string } | null {
  const idEnd = prefix.length + KEY_ID_LENGTH;
  const length = idEnd + 1 + KEY_SECRET_LENGTH;
  if (text.length !== length || !text.startsWith(prefix)) return null;
  for (let at = prefix.length; at < length; at++) {
    const code = text.charCodeAt(at);
    if (at === idEnd ? code !== UNDERSCORE : !isBase62(code)) return null;
  }
  return { id: text.slice(prefix.length, idEnd) };
}

/** SHA-256 of a whole key, 32 bytes. A slow hash would add nothing: the secret has 256 bits. */
export function hashKey(key: string): Uint8Array {
  return hash("sha256", key, "buffer");
}

/** The same into 32 bytes that are there already: for every request, a buffer of its own would be a third of what the hash costs. */
export function hashKeyInto(bytes: Buffer, key: string): void {
  bytes.write(hash("sha256", key, "binary"), "latin1");
}

const ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/** Largest multiple of 62 that fits a byte; bytes from here on are thrown away, because they would favour the first characters. */
const UNBIASED_BELOW = 248;
const UNDERSCORE = 0x5f;

/** Random text of digits and letters without bias: 43 characters are 256 bits. */
export function base62(length: number, randomBytes: (size: number) => Uint8Array): string {
  let text = "";
  while (text.length < length) {
    for (const byte of randomBytes(length)) {
      if (byte < UNBIASED_BELOW && text.length < length) text += ALPHABET[byte % ALPHABET.length];
    }
  }
  return text;
}

function isBase62(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || (code >= 0x41 && code <= 0x5a) || (code >= 0x61 && code <= 0x7a);
}
