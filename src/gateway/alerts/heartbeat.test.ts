import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Receiver, startReceiver } from "../../../test/support/receiver.ts";
import { ManualClock } from "../../lib/clock.ts";
import { Secret } from "../../lib/secret.ts";
import { GATEWAY } from "./__fixtures__/alert.ts";
import { Heartbeat } from "./heartbeat.ts";

let receiver: Receiver;
let clock: ManualClock;
let isWell = true;
let troubles: string[] = [];
let heartbeat: Heartbeat;

beforeEach(async () => {
  receiver = await startReceiver();
  clock = new ManualClock();
  isWell = true;
  troubles = [];
  heartbeat = new Heartbeat({
    config: { url: new Secret(`${receiver.url}/beat`), everyMs: 60_000 },
    clock,
    gateway: GATEWAY,
    isWell: () => isWell,
    onTrouble: (detail) => void troubles.push(detail),
  });
});
afterEach(async () => {
  heartbeat.stop();
  await receiver.close();
});

const beatIsOver = (count: number) => vi.waitFor(() => expect(receiver.received).toHaveLength(count), 10_000);

describe("Heartbeat", () => {
  test("beats at once and then at its times, and says who lives", async () => {
    heartbeat.start();
    await beatIsOver(1);
    expect(receiver.received[0]).toMatchObject({ method: "POST", path: "/beat" });
    expect(receiver.received[0]?.json()).toMatchObject({ service: "postern", gateway: GATEWAY });
    await vi.waitFor(() =>
      expect(heartbeat.view()).toEqual({ everyMs: 60_000, lastAtMs: clock.nowMs(), trouble: null }),
    );
    clock.advance(60_000);
    await beatIsOver(2);
  });

  test("stands still while the gateway is not well, and goes on when it is", async () => {
    isWell = false;
    heartbeat.start();
    clock.advance(300_000);
    isWell = true;
    clock.advance(60_000);
    await beatIsOver(1);
  });

  test("says why a beat did not arrive, and forgets it with the next that does", async () => {
    receiver.answers.push(500);
    heartbeat.start();
    await vi.waitFor(() => expect(troubles).toEqual(["it answered with HTTP 500"]));
    expect(heartbeat.view()).toMatchObject({ lastAtMs: null, trouble: "it answered with HTTP 500" });
    clock.advance(60_000);
    await vi.waitFor(() => expect(heartbeat.view()).toMatchObject({ trouble: null }));
  });

  test("ends with no timer left", () => {
    heartbeat.start();
    heartbeat.stop();
    clock.advance(600_000);
    expect(receiver.received.length).toBeLessThanOrEqual(1);
  });
});
