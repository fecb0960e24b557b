import type { CorsConfig } from "../config/resolved.ts";
import { PosternError } from "../errors.ts";
import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { readHead } from "../proxy/head.ts";

/** What a page's script may read of an answer, beside its body. */
const EXPOSED = [
  "Request-Id",
  "Retry-After",
  "Retry-After-Ms",
  "X-Postern-Attempts",
  "X-Postern-Error",
  "X-Postern-Overhead-Ms",
  "X-Postern-Removed-Fields",
  "X-Postern-Served-By",
  "X-Request-Id",
  "X-Should-Retry",
].join(", ");
/** Names of headers that a page asks for: given back as they came, so that nothing else than names may come back. */
const HEADER_NAMES = /^[a-z0-9-]+(?:, ?[a-z0-9-]+)*$/i;
const MAX_NAMES_LENGTH = 2048;

/**
 * Cross-origin requests of browsers (Fetch standard, "CORS protocol"). Exact origins only; never credentials of the browser
 * (cookies and the like), which this server does not have; a preflight is answered here and goes nowhere.
 */
export class Cors {
  readonly #origins: ReadonlySet<string>;
  readonly #maxAge: string;

  constructor({ origins, maxAgeMs }: CorsConfig) {
    this.#origins = new Set(origins);
    this.#maxAge = String(Math.floor(maxAgeMs / 1000));
  }

  /**
   * Lets the page read the answer, where its origin may; answers a preflight.
   *
   * @returns Whether it was one.
   * @throws PosternError `origin_denied` for the preflight of another origin, `bad_request`.
   */
  handle(request: HttpRequest, response: HttpResponse): boolean {
    const origin = request.header("origin");
    const isPreflight = request.method === "OPTIONS";
    if (origin === undefined && !isPreflight) return false;
    const isAllowed = origin !== undefined && this.#origins.has(origin);
    // Caches must not give one origin's answer to another.
    response.edgeHeaders = [...response.edgeHeaders, "Vary", "Origin"];
    if (isAllowed) {
      response.edgeHeaders = [
        ...response.edgeHeaders,
        "Access-Control-Allow-Origin",
        origin,
        "Access-Control-Expose-Headers",
        EXPOSED,
      ];
    }
    if (!isPreflight) return false;
    readHead(request);
    if (!isAllowed) throw new PosternError("origin_denied");
    const names = request.header("access-control-request-headers") ?? "";
    if (names !== "" && (names.length > MAX_NAMES_LENGTH || !HEADER_NAMES.test(names))) {
      throw new PosternError("bad_request", { message: "Cannot read the request: odd Access-Control-Request-Headers" });
    }
    response.writeHead(204, [
      "Access-Control-Allow-Methods",
      "GET, HEAD, POST",
      ...(names === "" ? [] : ["Access-Control-Allow-Headers", names]),
      "Access-Control-Max-Age",
      this.#maxAge,
    ]);
    response.end();
    return true;
  }
}
