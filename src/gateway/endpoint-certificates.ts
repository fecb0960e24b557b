import type { Server } from "node:tls";
import type { Logger } from "pino";
import type { FileEndpoint } from "../config/resolved.ts";
import type { PemPair } from "./acme/challenges.ts";
import type { TlsSettings } from "./certificate.ts";
import type { CertificateState } from "./certificate-state.ts";
import { WatchedTlsFiles } from "./tls-files.ts";

export interface EndpointCertificatesParts {
  endpoints: readonly FileEndpoint[];
  /** How the listener speaks TLS, with this certificate in place of its own. */
  settingsFor(pair: PemPair): TlsSettings;
  log: Logger;
}

interface WatchedEndpoint {
  host: string;
  name: string;
  files: WatchedTlsFiles;
}

/**
 * Certificates of endpoints with a host of their own, shown to callers that ask for that host (SNI); all others see the
 * listener's. The files are read again when they change.
 */
export class EndpointCertificates {
  readonly #parts: EndpointCertificatesParts;
  #watched: WatchedEndpoint[];
  #server: Server | null = null;

  /** @throws PosternError `config_invalid` for files that are of no use. */
  constructor(parts: EndpointCertificatesParts) {
    this.#parts = parts;
    this.#watched = this.#read(parts.endpoints);
  }

  /**
   * Takes over what there is now. A host whose endpoint is gone is refused by name; which certificate says so is no matter.
   *
   * @throws PosternError `config_invalid` for files that are of no use; nothing has changed then.
   */
  replaceAll(endpoints: readonly FileEndpoint[]): void {
    const next = this.#read(endpoints);
    this.stop();
    this.#watched = next;
    if (this.#server !== null) this.keepFresh(this.#server);
  }

  /** Shows them on the server from now on. */
  keepFresh(server: Server): void {
    this.#server = server;
    for (const { host, files } of this.#watched) {
      this.#show(host, files.pair);
      files.start();
    }
  }

  stop(): void {
    for (const { files } of this.#watched) files.stop();
  }

  states(): Array<CertificateState & { listener: string }> {
    return this.#watched.map(({ name, files }) => ({ ...files.state(), listener: `public (endpoint ${name})` }));
  }

  #read(endpoints: readonly FileEndpoint[]): WatchedEndpoint[] {
    const { log } = this.#parts;
    return endpoints.flatMap(({ name, host, tls }) => {
      if (host === null || tls === null) return [];
      const files = new WatchedTlsFiles(tls, {
        onCertificate: (pair) => {
          this.#show(host, pair);
          log.info({ endpoint: name, file: tls.certFile }, "certificate reloaded");
        },
        onFailure: (error) =>
          log.warn({ endpoint: name, file: tls.certFile, error }, "certificate not reloaded, the old one stays"),
      });
      return [{ host, name, files }];
    });
  }

  // Node takes the context that was added last, and keeps the older ones of the same name: one for each renewal.
  #show(host: string, pair: PemPair): void {
    this.#server?.addContext(host, this.#parts.settingsFor(pair));
  }
}
