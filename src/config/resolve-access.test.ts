import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { loadConfig } from "./load.ts";
import type { ResolvedConfig } from "./resolved.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-config-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function load(yaml: string): ResolvedConfig {
  writeFileSync(join(folder, "postern.yaml"), yaml);
  return loadConfig({ part: "gateway", env: { PROXY_SECRET: "s3cret" }, cwd: folder, flags: { data: folder } });
}

/** Line and rule of every fault. */
function faultsOf(yaml: string): string[] {
  try {
    load(yaml);
    return [];
  } catch (error) {
    const { faults } = (error as PosternError).detail as {
      faults: Array<{ line: number; path: string; rule: string }>;
    };
    expect(error).toBeInstanceOf(PosternError);
    return faults.map(({ line, path, rule }) => `${line} ${path} ${rule}`);
  }
}

describe("endpoints and access", () => {
  test("are read with the line that each stands in", () => {
    const config = load(`
endpoints:
  default: { owner: ops, reviewOn: 2027-01-31 }
  vm:
    host: vm.example.org
    path: /a
    models: [llama*]
    mayLeave: no
    prefer: local
    fallback: never
    targets: { nodes: [forge, "pod-*"] }
access:
  rules:
    office: { allow: "::ffff:203.0.113.0/120", endpoint: vm, label: office, purpose: egress, owner: ops, mayRotate: true }
    scanner: { deny: 2001:db8::/32, expiresOn: 2027-02-01 }
  ambient:
    lan: { range: 192.168.1.0/24, key: ollama-clients }
`);
    expect(config.endpoints).toMatchObject([
      { name: "default", host: null, owner: "ops", reviewOn: "2027-01-31", place: join(folder, "postern.yaml:3") },
      {
        name: "vm",
        host: "vm.example.org",
        path: "/a",
        models: ["llama*"],
        mayLeave: "no",
        prefer: "local",
        fallback: "never",
        targets: { nodes: ["forge", "pod-*"] },
        place: join(folder, "postern.yaml:4"),
      },
    ]);
    expect(config.access.rules).toMatchObject([
      { name: "office", effect: "allow", range: "203.0.113.0/24", endpoint: "vm", mayRotate: true, expiresAtMs: null },
      { name: "scanner", effect: "deny", range: "2001:db8::/32", expiresAtMs: Date.UTC(2027, 1, 1) },
      {
        name: "lan",
        effect: "ambient",
        range: "192.168.1.0/24",
        key: "ollama-clients",
        place: join(folder, "postern.yaml:17"),
      },
    ]);
  });

  test("faults come all at once, each with its line", () => {
    expect(
      faultsOf(`
endpoints:
  Team: {}
  a: { host: Vm.example.org }
  b: { path: /v1 }
  c: { host: c.example.org, reviewOn: 2027-02-30, colour: red }
access:
  rules:
    one: { allow: 10.0.0.1/8 }
    two: { allow: 10.0.0.1, deny: 10.0.0.2 }
    three: {}
  ambient:
    four: { range: 10.0.0.0/33 }
`),
    ).toEqual([
      expect.stringMatching(/^3 endpoints\.Team has a name that/),
      expect.stringMatching(/^4 endpoints\.a\.host must be a host name in lower case/),
      expect.stringMatching(/^5 endpoints\.b\.path must not begin with \/v1/),
      expect.stringMatching(/^6 endpoints\.c\.reviewOn must be a day/),
      expect.stringMatching(/^6 endpoints\.c\.colour is not a key that exists/),
      expect.stringMatching(/^9 access\.rules\.one\.allow has bits beyond its prefix: write 10\.0\.0\.0\/8/),
      expect.stringMatching(/^10 access\.rules\.two needs either/),
      expect.stringMatching(/^11 access\.rules\.three needs either/),
      expect.stringMatching(/^13 access\.ambient\.four\.key is missing/),
      expect.stringMatching(/^13 access\.ambient\.four\.range must have a prefix length/),
    ]);
  });

  test("no two endpoints at one place, no place for default, no name twice", () => {
    expect(
      faultsOf(`
endpoints:
  default: { path: /x }
  none: {}
  a: { host: a.example.org }
  b: { host: a.example.org }
  c: { path: /c, tls: { cert: postern.yaml, key: none.pem } }
access:
  rules: { lan: { deny: 10.0.0.1 } }
  ambient: { lan: { range: 10.0.0.1, key: k } }
`),
    ).toEqual([
      expect.stringMatching(/^3 endpoints\.default is at the gateway's own names/),
      expect.stringMatching(/^4 endpoints\.none needs "host" or "path"/),
      expect.stringMatching(/^6 endpoints\.b is at the same host and path as "a"/),
      expect.stringMatching(/^7 endpoints\.c\.tls needs a "host" beside it/),
      expect.stringMatching(/^7 endpoints\.c\.tls needs "gateway\.tls"/),
      expect.stringMatching(/^7 endpoints\.c\.tls\.key names .*none\.pem, which does not exist/),
      expect.stringMatching(/^10 access\.ambient\.lan has the name of one of "access\.rules"/),
    ]);
  });
});

describe("gateway.trustedProxies", () => {
  function proxies(yaml: string) {
    return load(`gateway: { trustedProxies: ${yaml} }\n`).gateway.trustedProxies;
  }

  test("takes ranges and names for ranges", () => {
    expect(proxies('[10.0.0.0/8, "::ffff:192.0.2.1", loopback]')).toEqual([
      { ranges: ["10.0.0.0/8"], header: "x-forwarded-for", secret: null, access: null },
      { ranges: ["192.0.2.1"], header: "x-forwarded-for", secret: null, access: null },
      { ranges: ["127.0.0.0/8", "::1"], header: "x-forwarded-for", secret: null, access: null },
    ]);
    const [cloudflare] = proxies("[cloudflare]");
    expect(cloudflare?.header).toBe("cf-connecting-ip");
    expect(cloudflare?.ranges).toHaveLength(22);
    expect(proxies("[{ from: [cloudflare, 198.51.100.0/24], header: cf-connecting-ip }]")[0]?.ranges).toHaveLength(23);
  });

  test("reads what a proxy must show", () => {
    const audience = "0123456789abcdef".repeat(4);
    writeFileSync(join(folder, "keys.json"), "{}");
    const [proxy] = proxies(
      `[{ from: loopback, header: cf-connecting-ip, secret: { header: X-Proxy, value: "env:PROXY_SECRET" }, access: { team: t.cloudflareaccess.com, audience: ${audience}, keys: keys.json } }]`,
    );
    expect(proxy?.secret?.header).toBe("x-proxy");
    expect(proxy?.secret?.value.reveal()).toBe("s3cret");
    expect(proxy?.access).toEqual({ team: "t.cloudflareaccess.com", audience, keysFile: join(folder, "keys.json") });
  });

  test("says what is wrong in the form that was meant", () => {
    const faults = (yaml: string) => faultsOf(`gateway: { trustedProxies: ${yaml} }\n`);
    expect(faults("[everybody]")).toEqual([
      expect.stringMatching(
        /^1 gateway\.trustedProxies\[0\] must be an IP address or a range.*or one of cloudflare, loopback, private/,
      ),
    ]);
    expect(faults("[10.0.0.1/8]")).toEqual([expect.stringMatching(/has bits beyond its prefix/)]);
    expect(faults("[{ from: loopback, colour: red, header: via }]")).toEqual([
      expect.stringMatching(/trustedProxies\[0\]\.colour is not a key/),
      expect.stringMatching(/trustedProxies\[0\]\.header must be one of x-forwarded-for, cf-connecting-ip/),
    ]);
    expect(faults("[{ from: loopback, secret: { header: X, value: s3cret } }]")).toEqual([
      expect.stringMatching(/secret\.value must be env:NAME or file:PATH, never the secret itself/),
    ]);
    expect(faults("[{ from: loopback, secret: { header: X, value: 'env:NONE' } }]")).toEqual([
      expect.stringMatching(/NONE, which is not set/),
    ]);
    expect(faults("[10.0.0.1, { from: 10.0.0.1, header: cf-connecting-ip }]")).toEqual([
      expect.stringMatching(/trustedProxies\[1\] names 10\.0\.0\.1, which another entry names as well/),
    ]);
    expect(faults("[7]")).toEqual([expect.stringMatching(/trustedProxies\[0\]/)]);
  });
});
