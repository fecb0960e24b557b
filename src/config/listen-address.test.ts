import fc from "fast-check";
import { expect, test } from "vitest";
import { formatListen, isLoopback, parseListen } from "./listen-address.ts";
import { RISKS, type Risk, refuseUnsafeAdminListen, refuseUnsafeListen } from "./refuse-unsafe-listen.ts";

test("parseListen() reads addresses, bracketed IPv6 and names", () => {
  expect(parseListen("127.0.0.1:8400")).toEqual({ host: "127.0.0.1", port: 8400 });
  expect(parseListen("[::1]:0")).toEqual({ host: "::1", port: 0 });
  expect(parseListen("ai.example.org:443")).toEqual({ host: "ai.example.org", port: 443 });
});

test("parseListen() refuses what is ambiguous or out of range", () => {
  for (const text of [
    "",
    "8400",
    ":8400",
    "::1:8400",
    "127.0.0.1",
    "127.0.0.1:65536",
    "999.1.1.1:1",
    "127.1:80",
    "[x]:1",
    "a b:1",
    "-a:1",
    "a_b:1",
  ]) {
    expect(parseListen(text), text).toBeNull();
  }
});

test("formatListen() is read back by parseListen()", () => {
  const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant("localhost"));
  fc.assert(
    fc.property(host, fc.integer({ min: 0, max: 65_535 }), (name, port) => {
      expect(parseListen(formatListen({ host: name, port }))).toEqual({ host: name, port });
    }),
  );
});

test("isLoopback() takes the whole loopback range and no name but localhost", () => {
  expect(["127.0.0.1", "127.9.9.9", "::1", "localhost", "LOCALHOST", "::ffff:127.0.0.1"].every(isLoopback)).toBe(true);
  expect(
    ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.example.org", "localhost.example.org", "1270.0.0.1"].some(isLoopback),
  ).toBe(false);
});

const NOTHING_ELSE = { openEngines: [], acceptedRisks: new Set<Risk>() };

test("refuseUnsafeListen() takes an accepted risk for what it names, and for nothing else", () => {
  const worst = {
    listen: { host: "0.0.0.0", port: 80 },
    hasTls: false,
    hasTrustedProxy: false,
    activeKeys: 0,
    openEngines: ["ollama on port 11434"],
  };
  const accepted = new Set<Risk>();
  for (const risk of RISKS) {
    const refusal = refuseUnsafeListen({ ...worst, acceptedRisks: accepted });
    expect(refusal?.risk).toBe(risk);
    accepted.add(risk);
  }
  expect(refuseUnsafeListen({ ...worst, acceptedRisks: accepted })).toBeNull();
  const open = { ...worst, hasTls: true, activeKeys: 1, acceptedRisks: new Set<Risk>(["clear-text", "no-keys"]) };
  expect(refuseUnsafeListen(open)?.reason).toContain("ollama on port 11434");
  expect(refuseUnsafeListen({ ...open, listen: { host: "127.0.0.1", port: 80 } })).toBeNull();
});

test("refuseUnsafeListen() lets exactly the safe rows of the matrix through", () => {
  const yes = [true, false];
  const rows = ["127.0.0.1", "::1", "0.0.0.0", "::", "192.0.2.1", "ai.example.org"].flatMap((host) =>
    yes.flatMap((hasTls) =>
      yes.flatMap((hasTrustedProxy) => [0, 1].map((activeKeys) => ({ host, hasTls, hasTrustedProxy, activeKeys }))),
    ),
  );
  expect(rows).toHaveLength(48);
  for (const { host, ...facts } of rows) {
    const refusal = refuseUnsafeListen({ ...NOTHING_ELSE, listen: { host, port: 443 }, ...facts });
    const isSafe = isLoopback(host) || ((facts.hasTls || facts.hasTrustedProxy) && facts.activeKeys > 0);
    expect(refusal === null, JSON.stringify({ host, ...facts })).toBe(isSafe);
  }
});

test("refuseUnsafeListen() says which rule and what to do", () => {
  const open = {
    ...NOTHING_ELSE,
    listen: { host: "0.0.0.0", port: 80 },
    hasTls: false,
    hasTrustedProxy: false,
    activeKeys: 1,
  };
  expect(refuseUnsafeListen(open)?.reason).toMatch(/0\.0\.0\.0:80 without TLS/);
  expect(refuseUnsafeListen({ ...open, hasTls: true, activeKeys: 0 })?.hint).toMatch(/keys create/);
  expect(refuseUnsafeAdminListen({ host: "0.0.0.0", port: 1 }, false)).toMatchObject({
    risk: null,
    reason: expect.stringContaining("without TLS"),
  });
  expect(refuseUnsafeAdminListen({ host: "0.0.0.0", port: 1 }, true)).toBeNull();
  expect(refuseUnsafeAdminListen({ host: "::1", port: 1 }, false)).toBeNull();
});
