import { createHash } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/** Hashes that were asked for, as long as their connections are there. */
const KNOWN = new WeakMap<Socket, string | null>();

/**
 * Which key pair the other end of a connection has proven to hold: SHA-256, in hex, of the public key of its certificate
 * (SubjectPublicKeyInfo), so that a renewed certificate of the same key is the same caller. Null where it showed none, also
 * behind a proxy that ends TLS.
 *
 * Nothing else of the certificate is judged here. A resumed session has the certificate that it was begun with.
 */
export function certificateHashOf(socket: Socket): string | null {
  const known = KNOWN.get(socket);
  if (known !== undefined) return known;
  const certificate = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  const hash =
    certificate === undefined
      ? null
      : createHash("sha256")
          .update(certificate.publicKey.export({ type: "spki", format: "der" }))
          .digest("hex");
  // A connection that is gone tells nothing any more; what it told before stays known.
  KNOWN.set(socket, hash);
  return hash;
}
