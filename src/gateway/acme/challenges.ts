import type { Socket } from "node:net";
import type { Server } from "node:tls";
import { createSecureContext, TLSSocket } from "node:tls";
import { type ClientHello, MAX_HELLO_BYTES, readClientHello } from "./client-hello.ts";

/** Path under which an authority asks for proof over HTTP (RFC 8555 §8.3). */
export const HTTP_CHALLENGE_PREFIX = "/.well-known/acme-challenge/";
/** ALPN protocol with which it asks over TLS (RFC 8737). */
const ALPN_PROTOCOL = "acme-tls/1";
/** Longest wait for a client's first flight while a proof is out, and for an authority to look at it. */
const PEEK_MS = 5_000;

/** A certificate and its key, both PEM. */
export interface PemPair {
  cert: string | Buffer;
  key: string | Buffer;
}

/**
 * Proofs that are out now: what an authority may ask for over HTTP or TLS while an order is under way. Holds at most one proof
 * for each domain of the order; each is withdrawn by whoever published it.
 */
export class Challenges {
  readonly #texts = new Map<string, string>();
  readonly #certificates = new Map<string, PemPair>();
  readonly #servers: Array<{ server: Server; undo: (() => void) | null }> = [];

  publishText(token: string, text: string): void {
    this.#texts.set(token, text);
  }

  withdrawText(token: string): void {
    this.#texts.delete(token);
  }

  /** The text for a request's path, or null when none is out under it. */
  textFor(path: string): string | null {
    if (!path.startsWith(HTTP_CHALLENGE_PREFIX)) return null;
    return this.#texts.get(path.slice(HTTP_CHALLENGE_PREFIX.length)) ?? null;
  }

  publishCertificate(domain: string, pair: PemPair): void {
    this.#certificates.set(domain, pair);
    for (const one of this.#servers) one.undo ??= lookFirst(one.server, (hello) => this.#certificateFor(hello));
  }

  withdrawCertificate(domain: string): void {
    this.#certificates.delete(domain);
    if (this.#certificates.size > 0) return;
    for (const one of this.#servers) {
      one.undo?.();
      one.undo = null;
    }
  }

  /** Lets a TLS server answer the questions over TLS. Costs it nothing while no proof is out. */
  answerOn(server: Server): void {
    this.#servers.push({ server, undo: null });
  }

  #certificateFor({ serverName, protocols }: ClientHello): PemPair | null {
    // RFC 8737 §3: the question has this one protocol and nothing else.
    if (protocols.length !== 1 || protocols[0] !== ALPN_PROTOCOL || serverName === null) return null;
    return this.#certificates.get(serverName) ?? null;
  }
}

/**
 * Looks at the first flight of each new connection before TLS does, because by the time that Node tells the ALPN the
 * certificate is chosen. Everybody but the authority goes on to the server as if nobody had looked.
 *
 * @returns Undoes it.
 */
function lookFirst(server: Server, certificateFor: (hello: ClientHello) => PemPair | null): () => void {
  // A TLS server is a net.Server whose "connection" listeners start TLS on the raw socket (Node's lib/_tls_wrap.js).
  const own = server.listeners("connection") as Array<(this: Server, socket: Socket) => void>;
  function onConnection(socket: Socket): void {
    peek(socket, (hello, isGone) => {
      const pair = hello === null ? null : certificateFor(hello);
      if (isGone) return;
      if (pair !== null) showProof(socket, pair);
      else for (const listener of own) listener.call(server, socket);
    });
  }
  server.removeAllListeners("connection");
  server.on("connection", onConnection);
  return () => {
    server.off("connection", onConnection);
    for (const listener of own) server.on("connection", listener);
  };
}

/** Calls back once, with the first flight put back where it was. */
function peek(socket: Socket, then: (hello: ClientHello | null, isGone: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), PEEK_MS);
  timer.unref();
  function finish(hello: ClientHello | null, isGone: boolean): void {
    clearTimeout(timer);
    socket.off("readable", onReadable).off("close", onClose).off("error", onClose);
    if (!isGone && seen.length > 0) socket.unshift(seen);
    then(hello, isGone);
  }
  function onReadable(): void {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = Buffer.concat([seen, chunk]);
    const hello = readClientHello(seen);
    if (hello === "more" && seen.length < MAX_HELLO_BYTES) return;
    finish(hello === "more" ? null : hello, false);
  }
  function onClose(): void {
    socket.destroy();
    finish(null, true);
  }
  socket.on("readable", onReadable).on("close", onClose).on("error", onClose);
}

/** The authority reads the proof out of the certificate; nothing is said over the connection. */
function showProof(socket: Socket, pair: PemPair): void {
  const secure = new TLSSocket(socket, {
    isServer: true,
    secureContext: createSecureContext({ cert: pair.cert, key: pair.key, minVersion: "TLSv1.2" }),
    ALPNProtocols: [ALPN_PROTOCOL],
  });
  secure.setTimeout(PEEK_MS, () => secure.destroy());
  secure.on("error", () => secure.destroy());
  secure.on("end", () => secure.destroy());
  secure.resume();
}
