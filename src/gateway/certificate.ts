import { readFileSync } from "node:fs";
import type { Server } from "node:tls";
import type { Logger } from "pino";
import type { TlsConfig, TlsFiles } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { Clock } from "../lib/clock.ts";
import { acmeFiles } from "./acme/acme-files.ts";
import type { Challenges, PemPair } from "./acme/challenges.ts";
import { orderCertificate } from "./acme/order.ts";
import { Renewal } from "./acme/renewal.ts";
import type { CertificateState } from "./certificate-state.ts";
import { WatchedTlsFiles } from "./tls-files.ts";

/** TLS 1.3's suites, and of TLS 1.2 those with forward secrecy and authenticated encryption (RFC 9325 §4.2). */
const CIPHERS = [
  "TLS_AES_128_GCM_SHA256",
  "TLS_AES_256_GCM_SHA384",
  "TLS_CHACHA20_POLY1305_SHA256",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
].join(":");

/** What of a listener's TLS may change while it listens: Node's `SecureContextOptions`, as far as we set them. */
export interface TlsSettings {
  cert?: string | Buffer;
  key?: string | Buffer;
  ca?: Buffer;
  minVersion: "TLSv1.2" | "TLSv1.3";
  ciphers: string;
}

export interface CertificateParts {
  tls: Pick<TlsConfig, "source" | "minVersion" | "clientCertificates">;
  dataFolder: string;
  clock: Clock;
  random: () => number;
  log: Logger;
  /** Where the authority's questions are answered. */
  challenges: Challenges;
}

/** The certificate of one listener, from files or by ACME, kept fresh while it listens. */
export class Certificate {
  readonly #parts: CertificateParts;
  readonly #source: WatchedTlsFiles | Renewal;
  readonly #clientCa: Buffer | null;
  #server: Server | null = null;

  /** @throws PosternError `config_invalid` for files that are of no use, `data_folder`. */
  constructor(parts: CertificateParts) {
    this.#parts = parts;
    const { source, clientCertificates } = parts.tls;
    const caFile = clientCertificates?.caFile ?? null;
    this.#clientCa = caFile === null ? null : readCa(caFile, "gateway.tls.clientCertificates.ca");
    this.#source = "certFile" in source ? this.#fromFiles(source) : this.#byAcme(source);
  }

  /** For a server that is made now. Without a certificate while none was ever ordered: handshakes fail then. */
  settings(pair: PemPair | null = this.#source.pair): TlsSettings {
    return {
      ...(pair === null ? {} : { cert: pair.cert, key: pair.key }),
      ...(this.#clientCa === null ? {} : { ca: this.#clientCa }),
      minVersion: this.#parts.tls.minVersion === "1.2" ? "TLSv1.2" : "TLSv1.3",
      ciphers: CIPHERS,
    };
  }

  /** Whether callers are asked for certificates of their own. */
  get asksForClientCertificates(): boolean {
    return this.#parts.tls.clientCertificates !== null;
  }

  /** Shows new certificates on the server from now on, and orders them where that is ours. The server must listen. */
  keepFresh(server: Server): void {
    this.#server = server;
    this.#parts.challenges.answerOn(server);
    this.#source.start();
  }

  stop(): void {
    this.#source.stop();
  }

  state(): CertificateState {
    return this.#source.state();
  }

  #fromFiles(files: TlsFiles): WatchedTlsFiles {
    const { log } = this.#parts;
    return new WatchedTlsFiles(files, {
      onCertificate: (pair) => {
        this.#show(pair);
        log.info({ file: files.certFile }, "certificate reloaded");
      },
      onFailure: (error) => log.warn({ file: files.certFile, error }, "certificate not reloaded, the old one stays"),
    });
  }

  #byAcme(config: Extract<TlsConfig["source"], { directory: string }>): Renewal {
    const { log, clock, random, challenges, dataFolder } = this.#parts;
    const { domains, directory } = config;
    const files = acmeFiles(dataFolder, directory);
    const accountKey = files.accountKey();
    const ca = config.caFile === null ? null : readCa(config.caFile, "gateway.tls.acme.ca");
    return new Renewal({
      domains,
      files,
      clock,
      random,
      order(signal) {
        log.info({ domains, directory, challenge: config.challenge }, "ordering a certificate");
        return orderCertificate({ config, accountKey, ca, challenges, signal });
      },
      onCertificate: (pair) => {
        this.#show(pair);
        log.info({ domains }, "certificate ordered");
      },
      onFailure: (error, nextTryAtMs) =>
        log.warn(
          { domains, directory, error, nextTryAt: new Date(nextTryAtMs).toISOString() },
          "certificate not ordered, the old one stays",
        ),
    });
  }

  #show(pair: PemPair): void {
    this.#server?.setSecureContext(this.settings(pair));
  }
}

function readCa(file: string, setting: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new PosternError("config_invalid", { message: `Cannot read ${file} (${setting})`, cause });
  }
}
