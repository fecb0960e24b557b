import { connect as connectPlain, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { KEEP_ALIVE_DELAY_MS, socketHost, type TlsTrust, tlsOptions } from "./tls-trust.ts";

/** One read of a socket. */
const READ_BYTES = 64 * 1024;

/**
 * What all sockets to engines are read into: each read is taken out before the next one begins, of whichever socket. By
 * itself Node makes new memory of 64 KiB for every read, however little comes.
 */
const READS = Buffer.allocUnsafeSlow(READ_BYTES);

/** Opens sockets to one engine: plain or TLS, Nagle's algorithm off, TLS sessions taken up again. */
export class EngineDoor {
  readonly #url: URL;
  readonly #port: number;
  readonly #host: string;
  readonly #trust: TlsTrust;
  /** Of the last TLS connection; the next one need not begin from nothing. */
  #session: Buffer | undefined;

  constructor(url: URL, trust: TlsTrust) {
    this.#url = url;
    this.#trust = trust;
    this.#host = socketHost(url);
    this.#port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  }

  /**
   * Opens a socket. Its owner hears `end`, `error` and `close` as of any other.
   *
   * @param onOpen Once: it may be written to.
   * @param onBytes What came; the bytes are the owner's. `pause` and `resume` of the socket hold it up.
   */
  open(onOpen: () => void, onBytes: (bytes: Buffer) => void): Socket {
    const onread = {
      buffer: READS,
      callback: (length: number): boolean => {
        const bytes = Buffer.allocUnsafe(length);
        READS.copy(bytes, 0, 0, length);
        onBytes(bytes);
        return true;
      },
    };
    const where = { host: this.#host, port: this.#port, onread };
    const socket =
      this.#url.protocol === "https:"
        ? connectTls({ ...where, ...tlsOptions(this.#url, this.#trust), session: this.#session }, onOpen).on(
            "session",
            (session) => {
              this.#session = session;
            },
          )
        : connectPlain(where, onOpen);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_DELAY_MS);
    return socket;
  }
}
