import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "node:tls";
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { eventually } from "../../test/support/eventually.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import type { FileEndpoint } from "../config/resolved.ts";
import { EndpointCertificates } from "./endpoint-certificates.ts";

const listeners = makeCertificate(["DNS:ai.example.org"]);

let folder: string;
let server: Server;
let certificates: EndpointCertificates;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "postern-sni-"));
  server = createServer({ cert: listeners.cert, key: listeners.key });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  certificates.stop();
  await new Promise((resolve) => server.close(resolve));
  rmSync(folder, { recursive: true });
});

function write(names: string[]): void {
  const { cert, key } = makeCertificate(names);
  writeFileSync(join(folder, "cert.pem"), cert);
  writeFileSync(join(folder, "key.pem"), key);
}

function show(host: string | null): EndpointCertificates {
  const tls = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  const endpoint: FileEndpoint = { ...DEFAULT_ENDPOINT, name: "vm", host, tls, place: "postern.yaml:3" };
  const settingsFor = (pair: { cert: Buffer | string; key: Buffer | string }) =>
    ({ ...pair, minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" }) as const;
  certificates = new EndpointCertificates({ endpoints: [endpoint], settingsFor, log: pino({ level: "silent" }) });
  certificates.keepFresh(server);
  return certificates;
}

/** Names in the certificate that is shown to somebody who asks for this host, or who asks for none. */
function namesShown(servername: string): Promise<string> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    const socket = connect({
      host: "127.0.0.1",
      port,
      rejectUnauthorized: false,
      ...(servername === "" ? {} : { servername }),
    });
    socket.on("error", reject);
    socket.on("secureConnect", () => {
      resolve(socket.getPeerCertificate().subjectaltname ?? "");
      socket.destroy();
    });
  });
}

it("shows an endpoint's certificate to whoever asks for its host, and the listener's to everybody else", async () => {
  write(["DNS:vm.example.org"]);
  const shown = show("vm.example.org");
  expect(await namesShown("vm.example.org")).toBe("DNS:vm.example.org");
  for (const other of ["ai.example.org", "xvm.example.org", "vm.example.org.evil.example", ""]) {
    expect(await namesShown(other)).toBe("DNS:ai.example.org");
  }
  expect(shown.states()).toMatchObject([
    { listener: "public (endpoint vm)", names: ["vm.example.org"], problem: null },
  ]);
});

it("shows the new one when the files change", async () => {
  write(["DNS:vm.example.org"]);
  show("vm.example.org");
  write(["DNS:vm.example.org", "DNS:renewed.example.org"]);
  await eventually(
    async () => ((await namesShown("vm.example.org")).includes("renewed") ? true : undefined),
    "a renewal",
  );
}, 30_000);

it("names files that are of no use", () => {
  writeFileSync(join(folder, "cert.pem"), "rubbish");
  writeFileSync(join(folder, "key.pem"), "rubbish");
  expect(() => show("vm.example.org")).toThrow(/cert\.pem/);
});
