import { describe, expect, it } from "vitest";
import { createUuidV7 } from "./uuidv7.ts";

const SHAPE = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

describe("createUuidV7()", () => {
  it("writes version 7, the RFC variant and the time in its first 48 bits", () => {
    const id = createUuidV7({ nowMs: () => 1_700_000_000_123 })();
    expect(id).toMatch(SHAPE);
    expect(Number.parseInt(id.replaceAll("-", "").slice(0, 12), 16)).toBe(1_700_000_000_123);
  });

  it("sorts in the order of making, within a millisecond, past the counter's end and over a clock that jumps", () => {
    let now = 1_700_000_000_000;
    const next = createUuidV7({ nowMs: () => now });
    const ids: string[] = [];
    for (let index = 0; index < 20_000; index += 1) {
      if (index === 9_000) now += 3;
      if (index === 12_000) now -= 86_400_000;
      if (index === 15_000) now += 2 * 86_400_000;
      ids.push(next());
    }
    expect(ids.every((id) => SHAPE.test(id))).toBe(true);
    expect(ids.toSorted()).toEqual(ids);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("is random below its counter: two generators at one instant do not meet", () => {
    const nowMs = () => 1_700_000_000_000;
    const first = createUuidV7({ nowMs });
    const second = createUuidV7({ nowMs });
    const ids = new Set(Array.from({ length: 2_000 }, () => [first(), second()]).flat());
    expect(ids.size).toBe(4_000);
  });

  it("sets every random bit when the source is all ones, and none when it is all zeros", () => {
    const nowMs = () => 0x0123_4567_89ab;
    expect(createUuidV7({ nowMs, fillRandom: (bytes) => void bytes.fill(0xff) })()).toBe(
      "01234567-89ab-77ff-bfff-ffffffffffff",
    );
    expect(createUuidV7({ nowMs, fillRandom: (bytes) => void bytes.fill(0) })()).toBe(
      "01234567-89ab-7000-8000-000000000000",
    );
  });
});
