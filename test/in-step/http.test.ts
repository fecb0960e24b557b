import { readdirSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { ROOT, readPage } from "../../scripts/docs.ts";
import { classify } from "../../src/dialects/classify.ts";
import { OPERATIONS } from "../../src/dialects/operations.ts";
import { AgentPackageSource } from "../../src/gateway/agent-package.ts";
import { createPublicRoutes } from "../../src/gateway/public-routes.ts";
import { HttpRequest } from "../../src/http1/request.ts";
import { parseHead } from "../../src/http1/request-head.ts";
import { HttpResponse } from "../../src/http1/response.ts";
import { CONNECT_PATH } from "../../src/tunnel/constants.ts";

const page = readPage("docs/reference/http.md");

/** Method and path of each row of the page. */
const documented = [...page.matchAll(/^\| (GET|POST|HEAD) \| `([^`]+)` \|/gm)].map(([, method = "", path = ""]) => ({
  method,
  path,
}));

const OPTED_IN = new Set(OPERATIONS.filter((operation) => operation.isOptIn).map(({ id }) => id));

/** Whether a path belongs to a dialect; the others are Postern's own. */
function isOperation({ path }: { path: string }): boolean {
  return path.startsWith("/v1/") || path.startsWith("/api/") || path === "/";
}

/** A connection that is not there. */
const host = { socket: new Socket(), closingLines: () => "", answered() {} };
/** A response that takes everything and sends nothing. */
function sink(): HttpResponse {
  const response = new HttpResponse(host, true, true);
  response.gone();
  return response;
}

test("docs/reference/http.md lists the operations", () => {
  const pages = documented.filter(isOperation).map(({ method, path }) => `${method} ${path}`);
  const known = OPERATIONS.map(({ method, path, kind }) => `${method} ${path}${kind === "item" ? "{id}" : ""}`);
  expect(pages.sort()).toEqual(known.sort());
  for (const { method, path } of documented.filter((one) => one.path.startsWith("/v1/"))) {
    expect(() => classify(method, `/api${path.replace("{id}", "a%2Fb%3Ac")}`, OPTED_IN)).not.toThrow();
  }
});

test("docs/reference/http.md lists Postern's own paths", () => {
  const source = readPage("src/gateway/public-routes.ts");
  const inSource = [...source.matchAll(/"(\/[a-z./]+)"/g)].map(([, path = ""]) => path);
  const onPage = documented.map(({ path }) => path).filter((path) => !isOperation({ path }));
  expect([...onPage].sort()).toEqual([...inSource, CONNECT_PATH].sort());
  // Not ready, so that the package is not built for this.
  const answer = createPublicRoutes({ agentPackage: new AgentPackageSource(), isReady: () => false });
  for (const url of onPage.filter((path) => path === "/healthz" || path === "/readyz" || path === "/.postern/ip")) {
    const head = parseHead(`GET ${url} HTTP/1.1\r\nHost: localhost\r\n`);
    if (head === null) throw new Error(url);
    expect(answer(new HttpRequest(head, host.socket), sink(), "127.0.0.1"), url).toBe(true);
  }
});

test("docs/reference/http.md lists the headers that the data plane reads and writes", () => {
  const sources = ["src/proxy", "src/dialects", "src/gateway"].flatMap((folder) =>
    readdirSync(resolve(ROOT, folder), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".ts") && !name.endsWith(".test.ts"))
      .map((name) => readFileSync(resolve(ROOT, folder, name), "utf8")),
  );
  const used = sources.flatMap((text) =>
    [...text.matchAll(/"(x-postern-[a-z-]+)"/gi)].map(([, name = ""]) => name.toLowerCase()),
  );
  const onPage = [...page.matchAll(/^\| `(X-Postern-[A-Za-z-]+)` \|/gm)].map(([, name = ""]) => name.toLowerCase());
  expect([...new Set(onPage)].sort()).toEqual([...new Set(used)].sort());
});
