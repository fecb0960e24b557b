import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { directNode, gatewayConfig } from "../../test/support/gateway-config.ts";
import type { AddressRule } from "../access/address-rule.ts";
import { DEFAULT_ENDPOINT } from "../access/endpoint.ts";
import { Keyring } from "../access/keyring.ts";
import { AdminClient } from "../admin/client.ts";
import { socketTransport } from "../admin/transport.ts";
import { defaultConfig } from "../config/defaults.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import {
  answerFrom,
  chunk,
  type FakeEngine,
  STREAM_HEAD,
  startFakeEngine,
} from "../engines/__fixtures__/fake-engine.ts";
import { ManualClock } from "../lib/clock.ts";
import { openSqliteStore } from "../storage/sqlite/open-store.ts";
import type { Store } from "../storage/store.ts";
import { startGateway } from "./main.ts";
import { openPlaces } from "./places.ts";

const log = pino({ level: "silent" });
const NOTHING = {
  endpoint: null,
  key: null,
  label: null,
  purpose: null,
  owner: null,
  mayRotate: false,
  expiresAtMs: null,
};

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "postern-places-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

function rule(name: string, fields: Partial<AddressRule> = {}): AddressRule {
  return { name, effect: "deny", range: "192.0.2.1", ...NOTHING, ...fields };
}

describe("openPlaces()", () => {
  let store: Store;
  let clock: ManualClock;
  beforeEach(async () => {
    store = await openSqliteStore({ folder });
    clock = new ManualClock();
  });
  afterEach(() => store.close());

  function open(fields: Partial<ResolvedConfig> = {}) {
    return openPlaces({ config: { ...defaultConfig(folder), ...fields }, store, keyring: new Keyring(), clock, log });
  }

  it("has what file and store say together", async () => {
    await store.places.insertEndpoint({ ...DEFAULT_ENDPOINT, name: "vm", host: "vm.example.org", createdAtMs: 1 });
    await store.places.insertRule({ ...rule("stored"), createdAtMs: 1 });
    const live = await open({
      endpoints: [{ ...DEFAULT_ENDPOINT, name: "team", path: "/team", tls: null, place: "postern.yaml:3" }],
      access: { rules: [{ ...rule("filed", { endpoint: "vm" }), place: "postern.yaml:9" }] },
    });
    expect(
      live.places.endpoints
        .list()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(["default", "team", "vm"]);
    expect(live.places.rules.rules.map(({ name }) => name)).toEqual(["filed", "stored"]);
    live.stop();
  });

  it.each([
    [
      "a rule's name",
      { access: { rules: [{ ...rule("one"), place: "postern.yaml:9" }] } },
      /postern\.yaml:9: the rule "one" is in the store as well/,
    ],
    [
      "an endpoint's name",
      { endpoints: [{ ...DEFAULT_ENDPOINT, name: "vm", path: "/x", tls: null, place: "postern.yaml:3" }] },
      /postern\.yaml:3: the endpoint "vm" is in the store as well/,
    ],
    [
      "a place",
      {
        endpoints: [{ ...DEFAULT_ENDPOINT, name: "other", host: "vm.example.org", tls: null, place: "postern.yaml:3" }],
      },
      /postern\.yaml:3: the endpoint "other" is at the same host and path as "vm"/,
    ],
    [
      "no endpoint that exists",
      { access: { rules: [{ ...rule("two", { endpoint: "none" }), place: "postern.yaml:9" }] } },
      /postern\.yaml:9: the rule "two" is about the endpoint "none"/,
    ],
  ])("does not start where the file takes %s that the store has", async (_what, fields, message) => {
    await store.places.insertEndpoint({ ...DEFAULT_ENDPOINT, name: "vm", host: "vm.example.org", createdAtMs: 1 });
    await store.places.insertRule({ ...rule("one"), createdAtMs: 1 });
    await expect(open(fields)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringMatching(message),
    });
  });

  it("ends what runs when a rule expires, also where the wall clock jumped past it", async () => {
    const inAnHour = clock.nowMs() + 3_600_000;
    await store.places.insertRule({ ...rule("soon", { effect: "allow", expiresAtMs: inAnHour }), createdAtMs: 1 });
    const live = await open();
    let asked = 0;
    live.watch(() => asked++);
    clock.advance(3_599_999);
    expect(asked).toBe(0);
    clock.advance(1);
    expect(asked).toBe(1);
    expect(clock.pendingTimers).toBe(0);

    await store.places.insertRule({ ...rule("later", { expiresAtMs: clock.nowMs() + 3_600_000 }), createdAtMs: 1 });
    await live.reload();
    clock.jump(7_200_000);
    clock.advance(60_000);
    expect(asked).toBe(3);
    live.stop();
    expect(clock.pendingTimers).toBe(0);
  });
});

describe("a deny rule on a running gateway", () => {
  let engine: FakeEngine;
  beforeEach(async () => {
    const lists = answerFrom({ "/v1/models": { object: "list", data: [{ id: "tiny", object: "model" }] } });
    const delta = '{"id":"1","choices":[{"index":0,"delta":{"content":"hi"},"finish_reason":null}]}';
    // Begins and never ends.
    engine = await startFakeEngine((request) =>
      request.method === "POST" ? void request.socket.write(STREAM_HEAD + chunk(`data: ${delta}\n\n`)) : lists(request),
    );
  });
  afterEach(() => engine.close());

  it("ends the address's live streams in under a second, and is over when it is removed", async () => {
    const nodes = [directNode("lan", engine.url.origin)];
    const running = await startGateway({ ...gatewayConfig(folder), nodes }, { log });
    const admin = new AdminClient(socketTransport(running.socketPath));
    try {
      const { secret } = await admin.createKey({ name: "test" });
      const ask = () =>
        fetch(`${running.publicUrl}/v1/chat/completions`, {
          method: "POST",
          headers: { authorization: `Bearer ${secret}` },
          body: JSON.stringify({ model: "tiny", stream: true, messages: [] }),
        });
      const reader = (await ask()).body?.getReader();
      await reader?.read();

      const startedMs = performance.now();
      const changed = await admin.createRule({ effect: "deny", range: "127.0.0.0/8", label: "test" });
      expect(changed).toMatchObject({ streamsEnded: 1, rule: { name: "deny-127.0.0.0-8" } });
      let text = "";
      for (let part = await reader?.read(); part?.done === false; part = await reader?.read().catch(() => undefined)) {
        text += Buffer.from(part.value).toString();
      }
      const tookMs = performance.now() - startedMs;
      expect(text).toContain("address_denied");
      expect(tookMs).toBeLessThan(1000);

      const refused = await ask();
      expect([refused.status, refused.headers.get("x-postern-error")]).toEqual([403, "address_denied"]);
      expect((await fetch(`${running.publicUrl}/.postern/ip`)).status).toBe(200);
      expect(await admin.testAddress({ address: "127.0.0.1" })).toMatchObject({
        isAllowed: false,
        rule: { label: "test" },
      });

      await admin.removeRule("deny-127.0.0.0-8");
      const again = await ask();
      expect(again.status).toBe(200);
      await again.body?.cancel();
      const byEndpoint = await admin.usage({ by: "endpoint" });
      expect(byEndpoint.rows[0]).toMatchObject({ group: "default", failed: 1 });
    } finally {
      await admin.close();
      await running.stop();
    }
  });
});
