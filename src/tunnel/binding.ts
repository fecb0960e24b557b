import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { EXPORTER_BYTES, EXPORTER_LABEL } from "./constants.ts";
import type { BindingKind } from "./transcript.ts";

const NO_BYTES = new Uint8Array(0);

/** A binding and its bytes. */
export interface Binding {
  kind: BindingKind;
  value: Uint8Array;
}

/**
 * The binding a gateway offers on this connection, or null when the connection is not safe enough for any.
 *
 * - TLS that ends in this process: the exporter, which differs on the two sides of anyone who terminates TLS in between.
 * - A declared proxy in front that terminates TLS: `webpki`; the agent then insists on a normally verified certificate.
 * - Plain TCP: only where both ends are on loopback.
 */
export function offerBinding(socket: Socket, isBehindProxy: boolean, transport: "tls" | "plain"): Binding | null {
  if (isBehindProxy && transport === "tls") return { kind: "webpki", value: NO_BYTES };
  if (socket instanceof TLSSocket) return transport === "tls" ? { kind: "exporter", value: exporter(socket) } : null;
  return transport === "plain" && isLoopbackOnly(socket) ? { kind: "loopback", value: NO_BYTES } : null;
}

/** The binding an agent accepts when the gateway says it is of this kind, or the reason why it does not. */
export function acceptBinding(socket: Socket, kind: BindingKind): Binding | { problem: string } {
  switch (kind) {
    case "exporter":
      if (socket instanceof TLSSocket) return { kind, value: exporter(socket) };
      return { problem: "the gateway speaks of TLS on a connection without" };
    case "webpki":
      if (!(socket instanceof TLSSocket)) return { problem: "a proxy terminates TLS, but this connection has none" };
      if (socket.authorized) return { kind, value: NO_BYTES };
      return { problem: `a proxy terminates TLS and its certificate is not valid (${reason(socket)})` };
    case "loopback":
      if (!(socket instanceof TLSSocket) && isLoopbackOnly(socket)) return { kind, value: NO_BYTES };
      return { problem: "plain connections are only for a gateway on the same machine" };
    default:
      return kind satisfies never;
  }
}

/** Whether an address as Node prints it is one of this machine's loopback addresses. */
export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::ffff:)?127\.|^::1$/.test(address);
}

function isLoopbackOnly(socket: Socket): boolean {
  return isLoopback(socket.remoteAddress) && isLoopback(socket.localAddress);
}

function exporter(socket: TLSSocket): Uint8Array {
  return socket.exportKeyingMaterial(EXPORTER_BYTES, EXPORTER_LABEL, Buffer.alloc(0));
}

function reason(socket: TLSSocket): string {
  const error: unknown = socket.authorizationError;
  return error instanceof Error ? error.message : String(error ?? "unknown");
}
