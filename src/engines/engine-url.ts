/**
 * Prefix for every path sent to the engine at this URL, without a trailing slash: empty for an origin.
 *
 * People write the base URL that their SDK wants, which ends in `/v1`; operations carry that segment themselves.
 */
export function basePath(url: URL): string {
  return url.pathname.replace(/\/+$/, "").replace(/\/v1$/, "");
}

/** Whether the URL names this machine's loopback. Names other than `localhost` are not resolved and count as elsewhere. */
export function isLoopback(url: URL): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}

/**
 * `Host` for an engine of unknown kind: `localhost:PORT` on loopback, otherwise the URL's authority.
 *
 * Ollama refuses other names while it listens on loopback only; every other engine takes any.
 */
export function plainHostHeader(url: URL): string {
  if (!isLoopback(url)) return url.host;
  return url.port === "" ? "localhost" : `localhost:${url.port}`;
}
