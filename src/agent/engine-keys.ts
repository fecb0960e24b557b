import { hkdfSync, randomBytes } from "node:crypto";
import { join } from "node:path";
import { PosternError } from "../errors.ts";
import { readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import { Secret } from "../lib/secret.ts";

const SEED_FILE = "engine-seed";
const SEED_BYTES = 32;
const KEY_BYTES = 32;

/**
 * Keys of engines, derived from a seed on this machine. The gateway never has them: the agent puts them on requests on
 * their way to the engine. The seed is not the connector's identity, so that replacing one leaves the other.
 */
export class EngineKeys {
  readonly #seed: Secret;

  private constructor(seed: Secret) {
    this.#seed = seed;
  }

  /**
   * Opens the seed in the agent's folder, and makes it (32 random bytes, 0600) where it is missing.
   *
   * @throws PosternError `data_folder`, or `invalid_input` when the file is damaged.
   */
  static open(folder: string): EngineKeys {
    const path = join(folder, SEED_FILE);
    let seed = readPrivateFile(path);
    if (seed === null) {
      seed = randomBytes(SEED_BYTES);
      writePrivateFile(path, seed);
    }
    if (seed.length !== SEED_BYTES) {
      throw new PosternError("invalid_input", {
        message: `Cannot read "${path}": it must have ${SEED_BYTES} bytes, got ${seed.length}`,
        hint: "Delete it; engines that were started with keys from it need new ones.",
      });
    }
    return new EngineKeys(new Secret(seed.toString("base64url")));
  }

  /** The key of the engine of this name: HKDF-SHA256 (RFC 5869) of the seed, 256 bits in base64url. The same every time. */
  keyOf(engine: string): Secret {
    const seed = Buffer.from(this.#seed.reveal(), "base64url");
    const key = hkdfSync("sha256", seed, new Uint8Array(0), `postern engine key 1\0${engine}`, KEY_BYTES);
    return new Secret(Buffer.from(key).toString("base64url"));
  }
}
