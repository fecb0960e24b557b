import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LiveSet } from "./live-set.ts";

describe("LiveSet", () => {
  it("holds what a Set would hold, whatever is added and taken out", () => {
    const step = fc.record({ isAdd: fc.boolean(), index: fc.nat(7) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const members = Array.from({ length: 8 }, (_, id) => ({ id, place: -1 }));
        const live = new LiveSet<(typeof members)[number]>();
        const plain = new Set<(typeof members)[number]>();
        for (const { isAdd, index } of steps) {
          const member = members[index] as (typeof members)[number];
          if (isAdd) {
            live.add(member);
            plain.add(member);
          } else {
            expect(live.delete(member)).toBe(plain.delete(member));
          }
          expect(live.size).toBe(plain.size);
          expect(new Set(live.all())).toEqual(plain);
        }
      }),
    );
  });

  it("lets members leave while somebody goes through it", () => {
    const live = new LiveSet<{ place: number }>();
    for (let index = 0; index < 5; index++) live.add({ place: -1 });
    let seen = 0;
    for (const member of live.all()) {
      live.delete(member);
      seen += 1;
    }
    expect([seen, live.size]).toEqual([5, 0]);
  });
});
