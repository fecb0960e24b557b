import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { getCACertificates, setDefaultCACertificates } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { fetchKeys } from "./access-keys.ts";

const trusted = makeCertificate();
const before = getCACertificates("default");
let close = (): Promise<unknown> => Promise.resolve();
let asked: string[] = [];

beforeAll(() => setDefaultCACertificates([...before, trusted.cert]));
afterAll(() => setDefaultCACertificates(before));
afterEach(() => close());

/** A real HTTPS server. @returns the address of its key set. */
async function serve(answer: RequestListener, certificate = trusted): Promise<string> {
  asked = [];
  const server = createServer(certificate, (request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ""}`);
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return `https://localhost:${(server.address() as AddressInfo).port}/cdn-cgi/access/certs`;
}

describe("fetchKeys() over HTTPS", () => {
  test("reads the set from that very address, and sends no credential", async () => {
    const url = await serve((_request, response) => response.end('{"keys":[]}'));
    expect(await fetchKeys(url)).toBe('{"keys":[]}');
    expect(asked).toEqual(["GET /cdn-cgi/access/certs "]);
  });

  test("takes no set from a server whose certificate nobody signed that is trusted, or that is for another name", async () => {
    const strange = await serve((_request, response) => response.end("{}"), makeCertificate());
    await expect(fetchKeys(strange)).rejects.toThrow();
    expect(asked).toEqual([]);
    await close();
    const named = makeCertificate(["DNS:other.example"]);
    setDefaultCACertificates([...before, trusted.cert, named.cert]);
    await expect(fetchKeys(await serve((_request, response) => response.end("{}"), named))).rejects.toThrow();
    expect(asked).toEqual([]);
    setDefaultCACertificates([...before, trusted.cert]);
  });

  test("follows no redirect, and takes nothing but a 200", async () => {
    for (const status of [302, 404, 500, 204]) {
      const url = await serve((_request, response) =>
        response.writeHead(status, { location: "https://evil.example/" }).end(),
      );
      await expect(fetchKeys(url)).rejects.toThrow(String(status));
      await close();
    }
  });

  test("stops at the bound of a key set, however much comes", async () => {
    const url = await serve((_request, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write("x".repeat(65_536))) {}
      };
      response.on("drain", more);
      more();
    });
    await expect(fetchKeys(url)).rejects.toThrow("too large");
  });
});
