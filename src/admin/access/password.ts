import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { PosternError } from "../../errors.ts";

/** OWASP's costs for argon2id: 19 MiB, two passes, one lane; about 40 ms of one core. */
const COSTS = { memory: 19_456, passes: 2, parallelism: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;

/** Hashes computed at one time: each takes a thread of Node's pool, which files and names need too. */
const CONCURRENT = 2;
/** Most that wait for their turn. */
const WAITING_MAX = 16;

/**
 * Hashes passwords with argon2id, a few at a time, so that a flood of logins can take neither the memory nor the threads.
 *
 * The result is a PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`), which carries its costs: raising them here leaves old
 * ones valid.
 */
export class PasswordHasher {
  #running = 0;
  readonly #waiting: Array<() => void> = [];

  /** Rejects with `too_many_requests` when too many wait. */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const digest = await this.#derive(password, salt, COSTS);
    const { memory, passes, parallelism } = COSTS;
    return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${base64(salt)}$${base64(digest)}`;
  }

  /**
   * Whether the password is the one that was hashed. Compared in constant time.
   *
   * @param stored A PHC string; null for a user that does not exist, which costs the same and is false.
   */
  async verify(password: string, stored: string | null): Promise<boolean> {
    const parsed = stored === null ? null : parse(stored);
    const { salt, digest, costs } = parsed ?? NOBODY;
    const found = await this.#derive(password, salt, costs);
    return found.byteLength === digest.byteLength && timingSafeEqual(found, digest) && parsed !== null;
  }

  async #derive(password: string, salt: Buffer, costs: Costs): Promise<Buffer> {
    if (this.#waiting.length >= WAITING_MAX) {
      throw new PosternError("too_many_requests", { message: "Too many logins at once", retryAfterSeconds: 1 });
    }
    if (this.#running >= CONCURRENT) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running += 1;
    try {
      // One form for one text, however a keyboard composed it.
      const message = password.normalize("NFKC");
      return await new Promise<Buffer>((resolve, reject) => {
        argon2("argon2id", { message, nonce: salt, tagLength: HASH_BYTES, ...costs }, (error, derived) =>
          error === null ? resolve(derived) : reject(error),
        );
      });
    } finally {
      // Handed on without being free in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }
}

interface Costs {
  memory: number;
  passes: number;
  parallelism: number;
}

const NOBODY = { salt: Buffer.alloc(SALT_BYTES), digest: Buffer.alloc(HASH_BYTES), costs: COSTS };

const PHC = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{22})\$([A-Za-z0-9+/]{43})$/;

function parse(stored: string): { salt: Buffer; digest: Buffer; costs: Costs } | null {
  const match = PHC.exec(stored);
  if (match === null) return null;
  const [, memory, passes, parallelism, salt = "", digest = ""] = match;
  return {
    salt: Buffer.from(salt, "base64"),
    digest: Buffer.from(digest, "base64"),
    costs: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
  };
}

function base64(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
