import { TLSSocket } from "node:tls";
import type { CorsConfig, GatewayConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { Cors } from "./cors.ts";

/** What happens to every request on the public listener before anybody looks at what it wants. */
export interface Edge {
  /** Sets what every answer says. @returns Whether the request has its answer. @throws PosternError `origin_denied`. */
  handle(request: HttpRequest, response: HttpResponse): boolean;
  /** @throws PosternError `client_certificate_missing` where callers must show one. */
  checkClientCertificate(request: HttpRequest): void;
  /** From now on pages of these origins may call; null: of none. */
  setCors(cors: CorsConfig | null): void;
}

/** The edge of a public listener as its configuration has it: HSTS, CORS, client certificates. */
export function createEdge({ tls, cors }: GatewayConfig): Edge {
  const hsts =
    tls === null || tls.hstsMs === 0 ? [] : ["Strict-Transport-Security", `max-age=${Math.floor(tls.hstsMs / 1000)}`];
  let pages = cors === null ? null : new Cors(cors);
  const mustBeSigned = (tls?.clientCertificates?.caFile ?? null) !== null;
  return {
    setCors(next) {
      pages = next === null ? null : new Cors(next);
    },
    handle(request, response) {
      response.edgeHeaders = hsts;
      return pages?.handle(request, response) ?? false;
    },
    checkClientCertificate({ socket }) {
      if (!mustBeSigned || (socket instanceof TLSSocket && socket.authorized)) return;
      throw new PosternError("client_certificate_missing", {
        detail: { reason: socket instanceof TLSSocket ? String(socket.authorizationError) : "no TLS" },
      });
    },
  };
}
