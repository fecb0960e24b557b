import { pino } from "pino";
import { expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { NO_STEERING } from "../routing/steering.ts";
import { Waker } from "./waker.ts";

const mac = "00:11:22:aa:bb:cc";

function make(isViaUp = () => true) {
  const clock = new ManualClock();
  const sent: string[] = [];
  const waker = new Waker({
    clock,
    log: pino({ level: "silent" }),
    steering: () => ({ ...NO_STEERING, wakes: { sleeper: { mac, via: "forge" } } }),
    send(via, address) {
      if (isViaUp()) sent.push(`${via} ${address}`);
      return isViaUp();
    },
    nodeName: (id) => id,
  });
  return { clock, sent, waker };
}

test("Waker asks the node that was named, and not more often than the machine needs to come up", () => {
  const { clock, sent, waker } = make();
  for (let n = 0; n < 100; n++) {
    expect(waker.wake("sleeper")).toBe(true);
    clock.advance(250);
  }
  expect(sent).toEqual([`forge ${mac}`, `forge ${mac}`]);
});

test("Waker gives up on a machine that does not come, and tries again an hour later or once it was there", () => {
  const { clock, sent, waker } = make();
  for (let n = 0; n < 30; n++) {
    waker.wake("sleeper");
    clock.advance(20_000);
  }
  expect(sent).toHaveLength(9);
  expect(waker.wake("sleeper")).toBe(false);
  clock.advance(3_600_000);
  expect(waker.wake("sleeper")).toBe(true);
  waker.arrived("sleeper");
  expect(waker.wake("sleeper")).toBe(true);
  expect(sent).toHaveLength(11);
});

test("Waker wakes nobody without a setting, or without an agent to ask", () => {
  expect(make().waker.wake("other")).toBe(false);
  expect(make(() => false).waker.wake("sleeper")).toBe(false);
});
