import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FairQueue } from "./fair-queue.ts";

interface One {
  keyId: string;
  weight: number;
  name: string;
}

function fill(lines: Record<string, number>, weights: Record<string, number> = {}): FairQueue<One> {
  const queue = new FairQueue<One>();
  for (const [keyId, count] of Object.entries(lines)) {
    for (let n = 0; n < count; n++) queue.add({ keyId, weight: weights[keyId] ?? 1, name: `${keyId}${n}` });
  }
  return queue;
}

/** Lets so many go, one slot at a time. */
function take(queue: FairQueue<One>, count: number): string[] {
  const taken: string[] = [];
  for (let n = 0; n < count; n++) {
    let isFree = true;
    queue.serve((one) => {
      if (!isFree) return "stays";
      isFree = false;
      taken.push(one.name);
      return "went";
    });
  }
  return taken;
}

describe("FairQueue", () => {
  test("lets a key with one request go at once beside a key with a hundred", () => {
    const queue = fill({ many: 100 });
    take(queue, 5);
    queue.add({ keyId: "one", weight: 1, name: "one0" });
    expect(take(queue, 2)).toContain("one0");
  });

  test("keeps the order within a key, and gives keys turns by their weight", () => {
    const taken = take(fill({ a: 30, b: 30 }, { a: 3 }), 20);
    expect(taken.filter((name) => name.startsWith("a"))).toEqual(Array.from({ length: 15 }, (_, n) => `a${n}`));
    expect(taken.filter((name) => name.startsWith("b"))).toHaveLength(5);
  });

  test("gives no credit for time in which a key did not wait", () => {
    const queue = fill({ a: 20 });
    take(queue, 10);
    for (let n = 0; n < 10; n++) queue.add({ keyId: "late", weight: 1, name: `late${n}` });
    const taken = take(queue, 10);
    expect(taken.filter((name) => name.startsWith("late")).length).toBeLessThanOrEqual(6);
  });

  test("passes over those that wait for something of their own", () => {
    const queue = fill({ pinned: 3, a: 2, b: 1 });
    const went: string[] = [];
    queue.serve((one) => {
      if (one.keyId === "pinned") return "stays";
      went.push(one.name);
      return "went";
    });
    expect(went.toSorted()).toEqual(["a0", "a1", "b0"]);
    expect(queue.size).toBe(3);
  });

  test("asks others first the next time where too many stayed", () => {
    const queue = new FairQueue<One>();
    for (let n = 0; n < 40; n++) queue.add({ keyId: `k${n}`, weight: 1, name: `k${n}` });
    const asked = new Set<string>();
    for (let round = 0; round < 4; round++)
      queue.serve((one) => {
        asked.add(one.name);
        return "stays";
      });
    expect(asked.size).toBe(40);
  });

  test("says who has to go when there are too many", () => {
    expect(fill({ a: 2, b: 5, c: 1 }).newestOfLongest()?.name).toBe("b4");
    expect(fill({}).newestOfLongest()).toBeNull();
  });

  test("counts, forgets and serves each exactly once, whatever happens", () => {
    const step = fc.record({
      what: fc.constantFrom("add", "delete", "serve"),
      key: fc.constantFrom("a", "b", "c"),
      weight: fc.constantFrom(1, 2),
      free: fc.nat(3),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const queue = new FairQueue<One>();
        const inside = new Set<One>();
        for (const [index, { what, key, weight, free }] of steps.entries()) {
          if (what === "add") {
            const one = { keyId: key, weight, name: `${index}` };
            queue.add(one);
            inside.add(one);
          } else if (what === "delete") {
            const [one] = inside;
            if (one !== undefined) expect(queue.delete(one)).toBe(inside.delete(one));
          } else {
            let left = free;
            queue.serve((one) => {
              if (left-- <= 0) return "stays";
              expect(inside.delete(one)).toBe(true);
              return "went";
            });
          }
          expect(queue.size).toBe(inside.size);
          for (const one of queue.all()) expect(queue.ahead(one)).toBeLessThan(Math.max(1, queue.size));
        }
      }),
    );
  });
});
