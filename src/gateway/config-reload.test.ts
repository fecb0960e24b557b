import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { eventually } from "../../test/support/eventually.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { defaultConfig } from "../config/defaults.ts";
import { loadConfig } from "../config/load.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import { ManualClock } from "../lib/clock.ts";
import type { AuditDraft } from "../storage/audit-chain.ts";
import { ConfigReload, type ReloadableSection } from "./config-reload.ts";
import { type RunningGateway, startGateway } from "./main.ts";

const silent = pino({ level: "silent" });

describe("ConfigReload", () => {
  function setUp(sections: readonly ReloadableSection[]) {
    const started = defaultConfig("/data");
    const live = { ...started, gateway: { ...started.gateway, limits: { ...started.gateway.limits } } };
    const entries: AuditDraft[] = [];
    let next: ResolvedConfig | Error = started;
    const reload = new ConfigReload({
      live,
      started,
      load() {
        if (next instanceof Error) throw next;
        return next;
      },
      sections,
      clock: new ManualClock(),
      log: silent,
      audit: async (entry) => void entries.push(entry),
    });
    return {
      live,
      entries,
      async take(config: ResolvedConfig | Error) {
        next = config;
        return reload.reload();
      },
    };
  }
  const priced = (micros: number): ResolvedConfig => ({
    ...defaultConfig("/data"),
    prices: [{ model: "*", inputMicros: micros, outputMicros: 0, cachedMicros: 0 }],
  });

  test("takes over what it knows, names the rest, and writes both down", async () => {
    const { live, take, entries } = setUp([{ paths: ["prices"] }]);
    const next = { ...priced(5), nodes: [], gateway: { ...priced(5).gateway, publicUrl: "https://x.example" } };
    expect(await take(next)).toMatchObject({ problem: null, needsRestart: ["gateway.publicUrl"] });
    expect(live.prices[0]?.inputMicros).toBe(5);
    expect(live.gateway.publicUrl).toBeNull();
    expect(entries[0]).toMatchObject({ action: "config.reload", after: { changed: ["prices"] } });
    // Changed back, it needs no restart any more.
    expect((await take(priced(5))).needsRestart).toEqual([]);
    await take(priced(5));
    expect(entries).toHaveLength(2);
  });

  test("puts everything back when a part cannot use its new settings, and says why", async () => {
    const applied: string[] = [];
    let live: ResolvedConfig | undefined;
    const made = setUp([
      { paths: ["prices"], apply: () => applied.push(`prices ${live?.prices.length}`) },
      {
        paths: ["models"],
        apply() {
          applied.push(`models ${live?.models.length}`);
          if (live?.models.length === 1) throw new Error("no such model");
        },
      },
    ]);
    live = made.live;
    const model = { ...defaultConfig("/").models[0], name: "m", targets: [], isHidden: true };
    const state = await made.take({ ...priced(5), models: [model as ResolvedConfig["models"][number]] });
    expect(state.problem).not.toBeNull();
    expect(applied).toEqual(["prices 1", "models 1", "prices 0", "models 0"]);
    expect([live.prices, live.models]).toEqual([[], []]);
    expect(made.entries).toEqual([]);
    // The next good one is taken over whole.
    expect((await made.take(priced(6))).problem).toBeNull();
    expect(live.prices[0]?.inputMicros).toBe(6);
  });
});

describe("a running gateway", () => {
  let folder: string;
  let running: RunningGateway;
  let admin: AdminClient;
  const file = () => join(folder, "postern.yaml");
  const write = (text: string) => writeFileSync(file(), text);
  const FIRST = `
gateway: { listen: "127.0.0.1:0", admin: { listen: "127.0.0.1:0" } }
models: { alias-one: { targets: [{ model: m }] } }
`;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "postern-reload-"));
    write(FIRST);
    const load = () => loadConfig({ part: "gateway", flags: { config: file(), data: folder }, env: {} });
    running = await startGateway(load(), { log: silent, load });
    admin = new AdminClient(socketTransport(running.socketPath));
  });
  afterEach(async () => {
    await admin.close();
    await running.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const stateOf = async () => (await admin.status()).gateway?.config;
  const ask = (path: string, headers: Record<string, string>, init: RequestInit = {}) =>
    fetch(`${running.publicUrl}${path}`, { headers, ...init });

  test("takes endpoints, rules, aliases, templates, limits and CORS over, and names what needs a restart", async () => {
    const { secret } = await admin.createKey({ name: "app" });
    const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" };
    expect((await ask("/v1/models", headers)).status).toBe(200);
    write(`
gateway:
  listen: "127.0.0.1:0"
  publicUrl: https://ai.example.org
  admin: { listen: "127.0.0.1:0" }
  limits: { body: 1KiB, connections: 7 }
  cors: { origins: ["https://app.example.org"] }
endpoints: { team: { path: /team, models: [] } }
access:
  rules: { mine: { allow: 127.0.0.1, endpoint: team } }
  templates: { small: { concurrency: 1 } }
models: { alias-two: { targets: [{ model: m }] } }
prices: { "*": { input: 1, output: 1 } }
`);
    await running.reload();
    expect(await stateOf()).toMatchObject({
      problem: null,
      needsRestart: ["gateway.publicUrl", "gateway.limits.connections"],
    });
    expect((await admin.listEndpoints()).map(({ name }) => name)).toContain("team");
    expect((await admin.listRules())[0]).toMatchObject({ name: "mine", origin: "file" });
    expect((await admin.createKey({ name: "t", template: "small" })).key.policy).toMatchObject({ concurrency: 1 });
    expect((await admin.listModels()).map(({ name }) => name)).toEqual(["alias-two"]);
    const large = await ask("/v1/chat/completions", headers, { method: "POST", body: "x".repeat(2000) });
    expect(large.status).toBe(413);
    const page = await ask("/v1/models", { ...headers, origin: "https://app.example.org" });
    expect(page.headers.get("access-control-allow-origin")).toBe("https://app.example.org");
    const { entries } = await admin.listAudit({ action: "config.reload" });
    expect(entries[0]?.after).toMatchObject({ changed: expect.arrayContaining(["access.rules", "models", "prices"]) });
    expect((await admin.verifyAudit()).fault).toBeNull();
  });

  test("keeps everything when the file is bad, says why with the line, and takes the next good one", async () => {
    write("gateway:\n  limits: { body: 1B }\nmodels: {}\n");
    await running.reload();
    expect((await stateOf())?.problem).toMatch(/postern\.yaml:2:\d+: "gateway\.limits\.body"/);
    expect((await admin.listModels()).map(({ name }) => name)).toEqual(["alias-one"]);
    write("endpoints: { team: { path: /team }\n");
    await running.reload();
    expect((await stateOf())?.problem).toMatch(/postern\.yaml:\d+/);
    write(FIRST);
    await running.reload();
    expect((await stateOf())?.problem).toBeNull();
  });

  test("refuses a file that has a name of the store, whole, and with its place", async () => {
    await admin.createEndpoint({ name: "team", path: "/mine" });
    write(`${FIRST}endpoints: { team: { path: /team } }\nprices: { "*": { input: 1, output: 1 } }\n`);
    await running.reload();
    expect((await stateOf())?.problem).toContain("team");
    expect((await admin.listEndpoints()).find(({ name }) => name === "team")).toMatchObject({ path: "/mine" });
  });

  test("looks at the file by itself", async () => {
    write(`${FIRST}prices: { "*": { input: 1, output: 1 } }\n`);
    const changed = async () =>
      (await admin.listAudit({ action: "config.reload" })).entries.length > 0 ? true : undefined;
    await eventually(changed, "the change of the file", 10_000);
  });
});
