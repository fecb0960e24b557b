import { X509Certificate } from "node:crypto";
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import { createSecureContext } from "node:tls";
import type { TlsFiles } from "../config/resolved.ts";
import { PosternError, toPosternError } from "../errors.ts";
import type { PemPair } from "./acme/challenges.ts";
import type { CertificateState } from "./certificate-state.ts";

/** How often the files are looked at. */
const LOOK_EVERY_MS = 5_000;

/** What the watching of two files tells. */
export interface TlsFilesParts {
  /** A pair that fits together. */
  onCertificate(pair: PemPair): void;
  /** The new files are of no use; what was shown before is still shown. */
  onFailure(problem: string): void;
  /** How often the files are looked at. */
  lookEveryMs?: number;
}

/**
 * Reads a certificate chain and its key, and checks that they fit together.
 *
 * @throws PosternError `config_invalid` naming the file.
 */
export function readTlsFiles({ certFile, keyFile }: TlsFiles): { cert: Buffer; key: Buffer } {
  try {
    const pair = { cert: readFileSync(certFile), key: readFileSync(keyFile) };
    createSecureContext(pair);
    return pair;
  } catch (cause) {
    throw new PosternError("config_invalid", {
      message: `Cannot use the certificate ${certFile} with the key ${keyFile}: ${cause instanceof Error ? cause.message : "unreadable"}`,
      hint: "Both must be PEM files, readable for this user, and belong together (gateway.tls).",
      cause,
    });
  }
}

/**
 * A certificate in two files that somebody else renews. Files that do not fit together (a renewal half done) leave the old
 * certificate in place.
 */
export class WatchedTlsFiles {
  readonly #files: TlsFiles;
  readonly #parts: TlsFilesParts;
  #pair: PemPair;
  #leaf: X509Certificate;
  #problem: string | null = null;

  /** @throws PosternError `config_invalid`. */
  constructor(files: TlsFiles, parts: TlsFilesParts) {
    this.#files = files;
    this.#parts = parts;
    const pair = readTlsFiles(files);
    this.#pair = pair;
    this.#leaf = new X509Certificate(pair.cert);
  }

  get pair(): PemPair {
    return this.#pair;
  }

  start(): void {
    const interval = this.#parts.lookEveryMs ?? LOOK_EVERY_MS;
    for (const file of this.#watched()) watchFile(file, { interval, persistent: false }, this.#reload);
  }

  stop(): void {
    for (const file of this.#watched()) unwatchFile(file, this.#reload);
  }

  state(): CertificateState {
    return {
      source: "files",
      names: namesOf(this.#leaf),
      notAfterMs: this.#leaf.validToDate.getTime(),
      problem: this.#problem,
      nextTryAtMs: null,
    };
  }

  readonly #reload = (): void => {
    try {
      const pair = readTlsFiles(this.#files);
      this.#leaf = new X509Certificate(pair.cert);
      this.#pair = pair;
      this.#problem = null;
      this.#parts.onCertificate(pair);
    } catch (error) {
      this.#problem = toPosternError(error).message;
      this.#parts.onFailure(this.#problem);
    }
  };

  #watched(): string[] {
    return [this.#files.certFile, this.#files.keyFile];
  }
}

function namesOf(leaf: X509Certificate): string[] {
  const names = (leaf.subjectAltName ?? "").split(", ").filter((name) => name !== "");
  return names.map((name) => name.replace(/^(?:DNS|IP Address):/, ""));
}
