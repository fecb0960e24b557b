import { request as requestPlain } from "node:http";
import { request as requestTls } from "node:https";
import { isIP, type Socket } from "node:net";
import { PosternError } from "../errors.ts";
import { isLoopback } from "./binding.ts";

/** Environment of the process, as far as proxies are concerned; lower-case names win, as in curl. */
export type ProxyEnvironment = Readonly<Record<string, string | undefined>>;

/**
 * The proxy to dial this gateway through, from `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or null for a direct dial.
 * Plain-text gateways are on loopback and never proxied.
 *
 * @throws PosternError `config_invalid` when the variable is not an `http:` or `https:` URL.
 */
export function proxyFor(gateway: URL, environment: ProxyEnvironment): URL | null {
  const host = bareHost(gateway);
  if (gateway.protocol !== "https:" || host === "localhost" || isLoopback(host)) return null;
  const text = read(environment, "https_proxy") ?? read(environment, "all_proxy");
  if (text === undefined || isExempt(gateway, read(environment, "no_proxy") ?? "")) return null;
  const proxy = URL.parse(text.includes("://") ? text : `http://${text}`);
  if (proxy === null || (proxy.protocol !== "http:" && proxy.protocol !== "https:")) {
    throw new PosternError("config_invalid", {
      message: "Cannot use the proxy: HTTPS_PROXY must be an http:// or https:// URL",
      hint: "Correct HTTPS_PROXY, or unset it, or name the gateway in NO_PROXY.",
    });
  }
  return proxy;
}

/**
 * Opens a connection to `host:port` through a proxy's CONNECT. Rejects when the proxy is unreachable or refuses; on abort
 * the socket is destroyed.
 */
export function connectThroughProxy(proxy: URL, host: string, port: number, signal: AbortSignal): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const request = (proxy.protocol === "https:" ? requestTls : requestPlain)({
    method: "CONNECT",
    host: bareHost(proxy),
    port: proxy.port === "" ? (proxy.protocol === "https:" ? 443 : 80) : Number(proxy.port),
    path: authority,
    headers: { host: authority, ...authorization(proxy) },
    agent: false,
    signal,
  });
  request.on("connect", (response, socket, head) => {
    if (response.statusCode === 200) {
      if (head.length > 0) socket.unshift(head);
      resolve(socket as Socket);
      return;
    }
    socket.destroy();
    reject(new Error(`the proxy refused the connection with status ${response.statusCode}`));
  });
  request.on("response", (response) => {
    response.destroy();
    reject(new Error(`the proxy refused the connection with status ${response.statusCode}`));
  });
  request.on("error", (error) => reject(new Error(`the proxy: ${error.message}`, { cause: error })));
  request.end();
  return promise;
}

/** The host of a URL without the brackets of IPv6. */
export function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

function read(environment: ProxyEnvironment, name: string): string | undefined {
  const value = environment[name] ?? environment[name.toUpperCase()];
  return value === undefined || value === "" ? undefined : value;
}

/** `*`, a host, a domain with or without a leading dot (subdomains included), an address; each with an optional port. */
function isExempt(gateway: URL, list: string): boolean {
  const host = bareHost(gateway).toLowerCase();
  const port = gateway.port === "" ? "443" : gateway.port;
  return list
    .split(/[\s,]+/)
    .filter((entry) => entry !== "")
    .some((entry) => {
      if (entry === "*") return true;
      const match = /^(\[[^\]]*\]|[^:]*|[^[\]]*:[^[\]]*:[^[\]]*)(?::([0-9]+))?$/.exec(entry.toLowerCase());
      const name = (match?.[1] ?? "").replace(/^\[|\]$/g, "").replace(/^\*?\./, "");
      if (name === "" || (match?.[2] !== undefined && match[2] !== port)) return false;
      return host === name || (isIP(name) === 0 && host.endsWith(`.${name}`));
    });
}

function authorization(proxy: URL): Record<string, string> {
  if (proxy.username === "") return {};
  const pair = `${decodeURIComponent(proxy.username)}:${decodeURIComponent(proxy.password)}`;
  return { "proxy-authorization": `Basic ${Buffer.from(pair, "utf8").toString("base64")}` };
}
