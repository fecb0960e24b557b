import { afterEach, expect, it } from "vitest";
import { keyRecord } from "../../../test/support/key-record.ts";
import { Keyring } from "../../access/keyring.ts";
import { Places } from "../../access/places.ts";
import { drillPlan } from "../../continuity/drill/__fixtures__/drill-record.ts";
import type { HttpRequest } from "../../http1/request.ts";
import type { HttpResponse } from "../../http1/response.ts";
import { ManualClock } from "../../lib/clock.ts";
import type { Origin } from "../../proxy/identify.ts";
import { DrillKeys } from "./drill-keys.ts";
import { SyntheticTraffic } from "./synthetic-traffic.ts";

const PROMPT = { model: "gpt", text: "hi", workflow: "letters", expect: null };
let traffic: SyntheticTraffic | null = null;
afterEach(() => traffic?.stop());

/** Traffic of one prompt with its first request. */
async function start(
  places: Places,
  keyring: Keyring,
): Promise<{ request: HttpRequest; origin: Origin; calls: () => number }> {
  const clock = new ManualClock();
  keyring.put(keyRecord({ id: "aaaaaaaaaaaa" }, { workflow: "letters", addresses: ["203.0.113.7"] }));
  const plan = drillPlan({ traffic: { kind: "synthetic", perMinute: 60, max: 1, prompts: [PROMPT] } });
  let calls = 0;
  return new Promise((resolve) => {
    traffic = new SyntheticTraffic(plan, {
      clock,
      places,
      keys: new DrillKeys(keyring, plan, "d", clock.nowMs(), clock.nowMs() + 60_000),
      handle(request: HttpRequest, _response: HttpResponse, origin: Origin) {
        calls += 1;
        resolve({ request, origin, calls: () => calls });
      },
      onAnswer() {},
    });
    void traffic.start();
  });
}

it("SyntheticTraffic takes nobody else's key at its door, which knows no address rules", async () => {
  const { request, calls } = await start(new Places(null, new Keyring()), new Keyring());
  const url = `http://127.0.0.1:${request.socket.localPort}/v1/chat/completions`;
  for (const authorization of ["", "Bearer x", `Bearer pst_aaaaaaaaaaaa_${"a".repeat(43)}`])
    await expect(fetch(url, { method: "POST", headers: { authorization }, body: "{}" })).rejects.toThrow();
  expect(calls()).toBe(1);
});

it("SyntheticTraffic comes from an address that the endpoint lets in", async () => {
  const places = new Places(null, new Keyring());
  const rule = {
    label: null,
    purpose: null,
    owner: null,
    mayRotate: false,
    expiresAtMs: null,
    key: null,
    endpoint: null,
  };
  places.replaceAll([], [{ ...rule, name: "vm", effect: "allow", range: "198.51.100.0/24" }], 0);
  expect((await start(places, new Keyring())).origin).toEqual({ address: "198.51.100.0", source: "peer" });
});
