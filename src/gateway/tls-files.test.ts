import { X509Certificate } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { readTlsFiles, WatchedTlsFiles } from "./tls-files.ts";

let folder: string;
let server: Server;
const stops: Array<() => void> = [];
const files = () => ({ certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-tls-"));
});
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

function write(certificate: { cert: string; key: string }): void {
  writeFileSync(files().certFile, certificate.cert);
  writeFileSync(files().keyFile, certificate.key);
}

/** The certificate that a new connection is shown, as PEM without line ends. */
function shown(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: (server.address() as AddressInfo).port, rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().raw.toString("base64"));
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

const notAfter = (pem: string) => new X509Certificate(pem).validToDate.getTime();
const bare = (pem: string) => pem.replace(/-----.*-----|\s/g, "");

it("WatchedTlsFiles shows the renewed certificate to new connections, and the old one while the files do not fit", async () => {
  const [first, second] = [makeCertificate(), makeCertificate()];
  write(first);
  const problems: string[] = [];
  const watched = new WatchedTlsFiles(files(), {
    onCertificate: (pair) => server.setSecureContext(pair),
    onFailure: (problem) => problems.push(problem),
    lookEveryMs: 10,
  });
  server = createServer(watched.pair);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  watched.start();
  stops.push(() => watched.stop());
  expect(await shown()).toBe(bare(first.cert));

  writeFileSync(files().certFile, second.cert);
  await vi.waitFor(() => expect(problems.at(-1)).toMatch(/cert\.pem.*key\.pem/), 5_000);
  expect(await shown()).toBe(bare(first.cert));
  expect(watched.state()).toMatchObject({ problem: problems.at(-1), notAfterMs: notAfter(first.cert) });

  writeFileSync(files().keyFile, second.key);
  await vi.waitFor(() => expect(watched.state().problem).toBeNull(), 5_000);
  expect(await shown()).toBe(bare(second.cert));
  expect(watched.state().names).toContain("localhost");

  writeFileSync(files().certFile, "not a certificate any more");
  await vi.waitFor(() => expect(watched.state().problem).not.toBeNull(), 5_000);
  expect(await shown()).toBe(bare(second.cert));
});

it("readTlsFiles() names the files that do not belong together", () => {
  write({ cert: makeCertificate().cert, key: makeCertificate().key });
  expect(() => readTlsFiles(files())).toThrow(/cert\.pem.*key\.pem/);
});
