import { connect as connectPlain, isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { bareHost, connectThroughProxy } from "./proxy-connect.ts";

/** What a connection to the gateway needs. */
export interface SocketOptions {
  url: URL;
  proxy: URL | null;
  /** Extra certificate authorities, PEM. */
  ca?: string | Buffer;
}

/**
 * Opens TCP (through a proxy where there is one) and TLS 1.3 to the gateway. The name is looked up at every dial: the
 * gateway's address, and this machine's, may change. Rejects on trouble; on abort the socket is destroyed.
 */
export async function openSocket(options: SocketOptions, signal: AbortSignal): Promise<Socket> {
  const { url } = options;
  const isTls = url.protocol === "https:";
  const host = bareHost(url);
  const port = url.port === "" ? (isTls ? 443 : 80) : Number(url.port);
  const base =
    options.proxy === null
      ? await opened(connectPlain({ host, port, noDelay: true }), "connect", signal)
      : await connectThroughProxy(options.proxy, host, port, signal);
  if (!isTls) return base;
  const secure = connectTls({
    socket: base,
    host,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ALPNProtocols: ["http/1.1"],
    minVersion: "TLSv1.3",
    ...(options.ca === undefined ? {} : { ca: options.ca }),
    // Whom to trust is decided in the handshake: by the gateway's own identity, bound to this TLS session, or, behind a
    // proxy, by `authorized`, which Node works out all the same.
    rejectUnauthorized: false,
  });
  return opened(secure, "secureConnect", signal);
}

function opened<S extends Socket>(socket: S, event: "connect" | "secureConnect", signal: AbortSignal): Promise<S> {
  const { promise, resolve, reject } = Promise.withResolvers<S>();
  const onAbort = () => socket.destroy(new Error("no answer in time"));
  const onClose = () => reject(new Error("the connection closed while it was being opened"));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  socket.once("close", onClose);
  // Stays on: later errors reach whoever uses the socket then, or nobody, but never the process.
  socket.on("error", reject);
  socket.once(event, () => {
    signal.removeEventListener("abort", onAbort);
    socket.off("close", onClose);
    resolve(socket);
  });
  return promise;
}
