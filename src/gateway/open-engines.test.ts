import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, it } from "vitest";
import { defaultConfig } from "../config/defaults.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { systemClock } from "../lib/clock.ts";
import { findOpenEngines } from "./open-engines.ts";

let engine: Server;
afterEach(() => new Promise((resolve) => engine.close(resolve)));

/** Something that answers like Ollama. @returns its address on loopback. */
async function listen(host: string): Promise<URL> {
  engine = createServer((request, response) => {
    const answers: Record<string, object> = { "/api/version": { version: "0.33.0" }, "/api/tags": { models: [] } };
    const answer = answers[request.url ?? ""];
    if (request.url === "/") response.end("Ollama is running");
    else response.writeHead(answer === undefined ? 404 : 200).end(JSON.stringify(answer ?? {}));
  });
  await new Promise<void>((resolve) => engine.listen(0, host, resolve));
  return new URL(`http://127.0.0.1:${(engine.address() as AddressInfo).port}`);
}

function accepting(url: URL): ResolvedConfig {
  const base = defaultConfig("/nowhere");
  const engine = { url: url.origin, kind: null, apiKey: null, host: null, caFile: null, serverName: null };
  return { ...base, agent: { ...base.agent, engines: [{ ...engine, name: "ollama", exposureAccepted: true }] } };
}

it("findOpenEngines() names an engine that listens on all addresses, and one that the operator accepted no longer", async () => {
  const url = await listen("0.0.0.0");
  expect(await findOpenEngines(defaultConfig("/nowhere"), systemClock, [url])).toEqual([`ollama on port ${url.port}`]);
  expect(await findOpenEngines(accepting(url), systemClock, [url])).toEqual([]);
});

it("findOpenEngines() says nothing of an engine on loopback", async () => {
  const url = await listen("127.0.0.1");
  expect(await findOpenEngines(defaultConfig("/nowhere"), systemClock, [url])).toEqual([]);
});
