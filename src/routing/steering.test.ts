import { describe, expect, test } from "vitest";
import { lostByChange } from "./required-models.ts";
import { NO_STEERING, readSteering, rolledBack, withDrained, withWeights, writeSteering } from "./steering.ts";
import { SteeringBook } from "./steering-book.ts";

describe("Steering", () => {
  test("survives being saved, and is refused when it is damaged", () => {
    const steering = withWeights(withDrained(NO_STEERING, "n", true), "m", { t: 3 });
    if (steering === null) throw new Error("refused");
    expect(readSteering(writeSteering(steering))).toEqual(steering);
    expect(readSteering(null)).toEqual(NO_STEERING);
    expect(readSteering(Buffer.from('{"drained":7}'))).toBeNull();
    expect(readSteering(Buffer.from("{"))).toBeNull();
  });

  test("drains a node once, and forgets it", () => {
    const drained = withDrained(withDrained(NO_STEERING, "n", true), "n", true);
    expect(drained.drained).toEqual(["n"]);
    expect(withDrained(drained, "n", false)).toEqual(NO_STEERING);
  });

  test("goes back to the file's weights where there were none before", () => {
    const steering = withWeights(NO_STEERING, "m", { t: 3 }) ?? NO_STEERING;
    expect(rolledBack(steering, "m")?.weights).toEqual({});
    expect(rolledBack(steering, "other")).toBeNull();
  });

  test("takes no more models than it may", () => {
    let steering = NO_STEERING;
    for (let n = 0; n < 1000; n++) steering = withWeights(steering, `m${n}`, { t: 1 }) ?? NO_STEERING;
    expect(withWeights(steering, "one more", { t: 1 })).toBeNull();
    expect(withWeights(steering, "m5", { t: 2 })).not.toBeNull();
  });
});

describe("SteeringBook", () => {
  test("makes changes one after the other, and keeps what it had where the store does not take one", async () => {
    const told: number[] = [];
    const book = new SteeringBook(null, ({ drained }) => told.push(drained.length));
    const first = book.change(
      (now) => withDrained(now, "a", true),
      async () => {},
    );
    const failed = book.change(
      (now) => withDrained(now, "b", true),
      async () => Promise.reject(new Error("disk")),
    );
    const last = book.change(
      (now) => withDrained(now, "c", true),
      async () => {},
    );
    await first;
    await expect(failed).rejects.toThrow("disk");
    await last;
    expect(book.steering.drained).toEqual(["a", "c"]);
    expect(told).toEqual([1, 2]);
  });
});

describe("lostByChange()", () => {
  const on = (node: string, ready = true) => ({ node, ready });
  const models = [
    { name: "one", required: true, targets: [on("a"), on("b", false)] },
    { name: "two", required: true, targets: [on("a"), on("b")] },
    { name: "optional", required: false, targets: [on("a")] },
    { name: "gone", required: true, targets: [on("a", false)] },
  ];

  test("names required models that would lose their last ready target, and none that has none already", () => {
    expect(lostByChange(models, ({ node }) => node !== "a")).toEqual(["one"]);
    expect(lostByChange(models, ({ node }) => node !== "b")).toEqual([]);
    expect(lostByChange(models, () => false)).toEqual(["one", "two"]);
  });
});
