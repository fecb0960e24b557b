import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import { inspect } from "node:util";
import { PosternError } from "../errors.ts";
import { IDENTITY_CHAIN_LIMIT } from "./constants.ts";

const FILE_PREFIX = "postern-identity-1 ";
const PUBLIC_KEY_BYTES = 32;

/**
 * An Ed25519 key pair: of a connector, or of the gateway. The private half never leaves the process except through
 * `serialise`, whose result belongs in a 0600 file or in a setting of the store.
 */
export class Identity {
  readonly #privateKey: KeyObject;
  /** Raw public key, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** See `fingerprintOf`. */
  readonly fingerprint: string;

  private constructor(privateKey: KeyObject) {
    this.#privateKey = privateKey;
    this.publicKey = rawPublicKey(createPublicKey(privateKey));
    this.fingerprint = fingerprintOf(this.publicKey);
  }

  /** A new key pair from the system's random generator. */
  static create(): Identity {
    return new Identity(generateKeyPairSync("ed25519").privateKey);
  }

  /**
   * Reads what `serialise` wrote.
   *
   * @throws PosternError `invalid_input` when the bytes are not such a file; the message never repeats them.
   */
  static parse(bytes: Uint8Array): Identity {
    const text = Buffer.from(bytes).toString("latin1").trimEnd();
    try {
      if (!text.startsWith(FILE_PREFIX)) throw new Error("no prefix");
      const der = Buffer.from(text.slice(FILE_PREFIX.length), "base64url");
      const key = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
      if (key.asymmetricKeyType !== "ed25519") throw new Error("not an Ed25519 key");
      return new Identity(key);
    } catch {
      throw new PosternError("invalid_input", {
        message: "Cannot read the identity: the file is not one of Postern's",
      });
    }
  }

  /** One line of text with the private key. A secret. */
  serialise(): Buffer {
    const der = this.#privateKey.export({ format: "der", type: "pkcs8" });
    return Buffer.from(`${FILE_PREFIX}${der.toString("base64url")}\n`, "latin1");
  }

  /** Ed25519 signature over `message`, 64 bytes. */
  sign(message: Uint8Array): Buffer {
    return sign(null, message, this.#privateKey);
  }

  toJSON(): unknown {
    return { fingerprint: this.fingerprint };
  }

  [inspect.custom](): string {
    return `Identity(${this.fingerprint})`;
  }
}

/** base64url of the SHA-256 of the raw public key: 43 characters. Also the id of a connector. */
export function fingerprintOf(publicKey: Uint8Array): string {
  return createHash("sha256").update(publicKey).digest("base64url");
}

/** Whether `signature` over `message` was made by the holder of `publicKey` (raw, 32 bytes). Does not throw. */
export function verifySignature(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  if (publicKey.length !== PUBLIC_KEY_BYTES) return false;
  try {
    const x = Buffer.from(publicKey).toString("base64url");
    return verify(null, message, createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }), signature);
  } catch {
    return false;
  }
}

/** One step of a rotation: the holder of `publicKey` names the next key by signing it. */
export interface Succession {
  /** Raw public key of the one who hands over. */
  publicKey: Uint8Array;
  /** Its signature over the next public key in the chain. */
  signature: Uint8Array;
}

/** Signs `nextPublicKey` as the successor of `identity`. */
export function signSuccessor(identity: Identity, nextPublicKey: Uint8Array): Succession {
  return { publicKey: identity.publicKey, signature: identity.sign(successionMessage(nextPublicKey)) };
}

/**
 * Whether the gateway that presents `publicKey` is the one whose fingerprint is trusted, directly or by at most
 * `IDENTITY_CHAIN_LIMIT` successions (oldest first) from the trusted key to this one.
 */
export function isTrusted(trustedFingerprint: string, publicKey: Uint8Array, chain: readonly Succession[]): boolean {
  if (fingerprintOf(publicKey) === trustedFingerprint) return true;
  if (chain.length > IDENTITY_CHAIN_LIMIT) return false;
  const start = chain.findIndex((step) => fingerprintOf(step.publicKey) === trustedFingerprint);
  if (start < 0) return false;
  return chain.slice(start).every((step, index, steps) => {
    const next = steps[index + 1]?.publicKey ?? publicKey;
    return verifySignature(step.publicKey, successionMessage(next), step.signature);
  });
}

function successionMessage(nextPublicKey: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from("postern gateway identity successor 1\0", "latin1"), nextPublicKey]);
}

function rawPublicKey(key: KeyObject): Uint8Array {
  return Buffer.from(key.export({ format: "jwk" }).x ?? "", "base64url");
}
