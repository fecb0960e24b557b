import { expect, test } from "vitest";
import { ManualClock } from "./clock.ts";

// A back-off of 180.0473 ms and then six times 5 s came to 29,999.999999999996 ms: what was due after 30 s was not, once
// in a dozen runs.
test("ManualClock reaches a limit in the steps that add up to it, whatever fraction came before", () => {
  for (let n = 0; n < 1_000; n++) {
    const clock = new ManualClock();
    clock.advance(Math.random() * 1_000);
    const startedMs = clock.monotonicMs();
    let isDue = false;
    clock.after(30_000, () => {
      isDue = true;
    });
    for (let step = 0; step < 6; step++) clock.advance(5_000);
    expect(isDue).toBe(true);
    expect(clock.monotonicMs() - startedMs).toBe(30_000);
  }
});
