import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeCertificate } from "../../../test/support/certificate.ts";
import { ManualClock } from "../../lib/clock.ts";
import { acmeFiles } from "./acme-files.ts";
import type { PemPair } from "./challenges.ts";
import { Renewal } from "./renewal.ts";

const DAY = 86_400_000;
const HOUR = 3_600_000;
const DOMAIN = "ai.example.org";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-acme-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Valid for a day, from now on. */
const certificate = () => makeCertificate([`DNS:${DOMAIN}`]);

/** A renewal whose orders a test answers by hand, at the time of its certificates. */
function start(domains = [DOMAIN]) {
  const clock = new ManualClock(Date.now());
  const orders: Array<PromiseWithResolvers<PemPair>> = [];
  const shown: PemPair[] = [];
  const failures: Array<{ problem: string; inMs: number }> = [];
  const files = acmeFiles(folder, "https://authority.example/directory");
  const renewal = new Renewal({
    domains,
    files,
    clock,
    random: () => 0.5,
    order() {
      const order = Promise.withResolvers<PemPair>();
      orders.push(order);
      return order.promise;
    },
    onCertificate: (pair) => shown.push(pair),
    onFailure: (problem, nextTryAtMs) => failures.push({ problem, inMs: nextTryAtMs - clock.nowMs() }),
  });
  renewal.start();
  return { clock, orders, shown, failures, renewal, files };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe("Renewal", () => {
  it("orders when there is no certificate, keeps what it got in a file of 0600, and finds it there after a restart", async () => {
    const first = start();
    expect(first.orders).toHaveLength(1);
    expect(first.renewal.state()).toMatchObject({ notAfterMs: null, problem: null, nextTryAtMs: null });
    const pair = certificate();
    first.orders[0]?.resolve(pair);
    await settle();
    expect(first.shown).toEqual([pair]);
    const [authority = ""] = readdirSync(join(folder, "acme"));
    const file = join(folder, "acme", authority, "certificate.pem");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "acme")).mode & 0o777).toBe(0o700);
    const again = start();
    expect(again.orders).toHaveLength(0);
    expect(String(again.renewal.pair?.cert).trim()).toBe(pair.cert.trim());
    expect(
      execFileSync("openssl", ["x509", "-noout", "-subject"], { input: readFileSync(file) }).length,
    ).toBeGreaterThan(0);
  });

  it("renews when two thirds of the certificate's life are over, and not before", async () => {
    const { clock, orders } = start();
    orders[0]?.resolve(certificate());
    await settle();
    clock.advance(15 * HOUR);
    expect(orders).toHaveLength(1);
    clock.advance(3 * HOUR);
    expect(orders).toHaveLength(2);
  });

  it("keeps the old certificate when an order fails, says why, and tries again with longer and longer pauses", async () => {
    const { clock, orders, failures, renewal } = start();
    orders[0]?.resolve(certificate());
    await settle();
    const old = renewal.pair;
    clock.advance(18 * HOUR);
    const pauses: number[] = [];
    for (let round = 1; round <= 9; round++) {
      expect(orders).toHaveLength(round + 1);
      orders[round]?.reject(new Error("the name does not resolve"));
      await settle();
      const { inMs = 0 } = failures.at(-1) ?? {};
      pauses.push(inMs);
      clock.advance(inMs - 1);
      expect(orders).toHaveLength(round + 1);
      clock.advance(1);
    }
    expect(pauses[0]).toBe(5 * 60_000);
    expect(pauses.at(-1)).toBe(6 * HOUR);
    expect(pauses).toEqual([...pauses].sort((a, b) => a - b));
    expect(renewal.pair).toBe(old);
    expect(renewal.state()).toMatchObject({ problem: "the name does not resolve" });
  });

  it("takes no certificate whose key is another one, and none once it was stopped", async () => {
    const { orders, failures, shown, renewal } = start();
    orders[0]?.resolve({ cert: certificate().cert, key: certificate().key });
    await settle();
    expect(failures[0]?.problem).toMatch(/do not belong together/);
    renewal.stop();
    const stopped = start();
    stopped.renewal.stop();
    stopped.orders[0]?.resolve(certificate());
    await settle();
    expect([...shown, ...stopped.shown]).toEqual([]);
  });

  it("orders anew when a name was added, and shows the old certificate meanwhile", async () => {
    const first = start();
    first.orders[0]?.resolve(certificate());
    await settle();
    const second = start([DOMAIN, "more.example.org"]);
    expect(second.orders).toHaveLength(1);
    expect(second.renewal.pair).not.toBeNull();
  });

  it("uses a certificate that could not be written, and says so", async () => {
    const { orders, shown, renewal, failures } = start();
    rmSync(join(folder, "acme"), { recursive: true });
    orders[0]?.resolve(certificate());
    await settle();
    expect(shown).toHaveLength(1);
    expect(failures[0]?.problem).toMatch(/Cannot write/);
    expect(renewal.state().notAfterMs).toBeGreaterThan(Date.now() + DAY / 2);
  });
});
