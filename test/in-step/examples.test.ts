import { readdirSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { ROOT } from "../../scripts/docs.ts";
import { loadConfig } from "../../src/config/load.ts";
import { refuseUnsafeListen } from "../../src/config/refuse-unsafe-listen.ts";
import type { ResolvedConfig } from "../../src/config/resolved.ts";

const FOLDER = resolve(ROOT, "examples");
const FILES = readdirSync(FOLDER);

/** As the program reads it, but without opening the certificates and secrets of machines that are not this one. */
function load(file: string): ResolvedConfig {
  return loadConfig({ part: "none", flags: { config: resolve(FOLDER, file) }, env: {}, cwd: FOLDER });
}

describe("examples/", () => {
  test.each(FILES)("%s is a configuration that a gateway would start with", (file) => {
    const { gateway, ...config } = load(file);
    expect(config.file).toBe(resolve(FOLDER, file));
    const refusal = refuseUnsafeListen({
      listen: gateway.listen,
      hasTls: gateway.tls !== null,
      hasTrustedProxy: gateway.trustedProxies.length > 0,
      activeKeys: 1,
      openEngines: [],
      acceptedRisks: new Set(),
    });
    expect(refusal).toBeNull();
  });

  test("times-like-haproxy.yaml has the numbers of the sources: 5 s, 300 s, 300 s, 2,000, local 60 s, cloud 15 s", () => {
    const { limits, timeouts } = load("times-like-haproxy.yaml").gateway;
    expect(limits.connections).toBe(2000);
    expect(timeouts).toMatchObject({
      connectMs: 5_000,
      callerIdleMs: 300_000,
      betweenTokensMs: 300_000,
      firstTokenMs: 60_000,
      firstTokenProviderMs: 15_000,
    });
  });
});
