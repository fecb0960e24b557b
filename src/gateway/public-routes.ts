import type { HttpRequest } from "../http1/request.ts";
import type { HttpResponse } from "../http1/response.ts";
import { readHead } from "../proxy/head.ts";
import type { AgentPackageSource } from "./agent-package.ts";

/** What the fixed paths of the public listener answer with. */
export interface PublicRoutesOptions {
  agentPackage: AgentPackageSource;
  /** Whether new requests are taken (not draining, store and listeners up). */
  isReady(): boolean;
}

type Answer = (request: HttpRequest, response: HttpResponse, remoteAddress: string) => void;

/**
 * Paths of the public listener that belong to no dialect: health, the caller's address, and what a new agent downloads.
 * None of them says anything about keys, nodes or models.
 *
 * @returns a function that answers and returns true, or returns false for every other request. It throws `bad_request`
 *   for heads that are not acceptable on any path.
 */
export function createPublicRoutes(options: PublicRoutesOptions) {
  const routes = new Map<string, Answer>([
    ["/healthz", (_request, response) => answerText(response, 200, "ok\n")],
    [
      "/readyz",
      (_request, response) =>
        options.isReady() ? answerText(response, 200, "ready\n") : answerText(response, 503, "not ready\n"),
    ],
    ["/.postern/ip", (_request, response, remoteAddress) => answerText(response, 200, `${remoteAddress}\n`)],
    ["/.postern/agent.mjs", (_request, response) => void answerPackage(response)],
    ["/.postern/install.sh", (_request, response) => void answerInstaller(response)],
  ]);

  return function answer(request: HttpRequest, response: HttpResponse, remoteAddress: string): boolean {
    const route = routes.get(request.url);
    if (route === undefined || (request.method !== "GET" && request.method !== "HEAD")) return false;
    // Probes come under any name, so the host is not looked at; what is not HTTP as it must be is refused here too.
    readHead(request);
    route(request, response, remoteAddress);
    return true;
  };

  async function answerPackage(response: HttpResponse): Promise<void> {
    try {
      const { bytes } = await options.agentPackage.read();
      answerBytes(response, 200, "text/javascript; charset=utf-8", bytes);
    } catch {
      answerText(response, 503, "The agent's package is not available. Install Postern from npm instead.\n");
    }
  }

  async function answerInstaller(response: HttpResponse): Promise<void> {
    try {
      const { sha256 } = await options.agentPackage.read();
      answerBytes(response, 200, "text/x-shellscript; charset=utf-8", Buffer.from(installer(sha256)));
    } catch {
      answerText(response, 503, "The agent's package is not available. Install Postern from npm instead.\n");
    }
  }
}

/**
 * `curl -fsSL URL/.postern/install.sh | sh -s -- URL CODE`. Whoever pipes this trusts the connection it came over; the line of
 * `postern nodes invite` carries the digest itself and needs no such trust.
 */
function installer(sha256: string): string {
  return `#!/bin/sh
# Downloads Postern's agent from this gateway, checks it, joins and starts. Usage: install.sh URL CODE
set -eu
[ "$#" -eq 2 ] || { echo "usage: install.sh URL CODE" >&2; exit 2; }
command -v node >/dev/null || { echo "Node.js 26 is needed: see nodejs.org" >&2; exit 1; }
folder="\${POSTERN_HOME:-\${XDG_DATA_HOME:-$HOME/.local/share}/postern}"
umask 077
mkdir -p "$folder"
curl -fsSL "$1/.postern/agent.mjs" -o "$folder/agent.mjs.new"
echo "${sha256}  $folder/agent.mjs.new" | sha256sum -c - >/dev/null
mv "$folder/agent.mjs.new" "$folder/agent.mjs"
exec node "$folder/agent.mjs" agent join "$1" "$2"
`;
}

function answerText(response: HttpResponse, status: number, text: string): void {
  answerBytes(response, status, "text/plain; charset=utf-8", Buffer.from(text));
}

function answerBytes(response: HttpResponse, status: number, type: string, body: Buffer): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, [
    "Content-Type",
    type,
    "Content-Length",
    String(body.length),
    "Cache-Control",
    "no-store",
  ]);
  response.end(body);
}
