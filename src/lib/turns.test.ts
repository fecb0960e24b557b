import { setImmediate as nextTurn } from "node:timers/promises";
import { expect, test } from "vitest";
import { atOnce, inTurns, type Pieces, Turns } from "./turns.ts";

test("Turns lets the loop turn between two pieces, and keeps their order", async () => {
  const turns = new Turns();
  const done: string[] = [];
  for (const name of ["a", "b", "c"]) turns.take(() => done.push(name));
  expect(done).toEqual([]);
  for (const expected of [["a"], ["a", "b"], ["a", "b", "c"]]) {
    await nextTurn();
    expect(done).toEqual(expected);
  }
});

test("Turns takes work from a piece of work, for a later turn", async () => {
  const turns = new Turns();
  const done: string[] = [];
  turns.take(() => {
    done.push("first");
    turns.take(() => done.push("second"));
  });
  await nextTurn();
  expect(done).toEqual(["first"]);
  await nextTurn();
  await nextTurn();
  expect(done).toEqual(["first", "second"]);
});

test("pieces come to the same at once and in turns, and each wants a turn of its own", () => {
  function* count(): Pieces<number> {
    yield;
    yield;
    return 3;
  }
  expect(atOnce(count())).toBe(3);
  const turns = inTurns(count());
  expect([turns.next(), turns.next(), turns.next()]).toEqual([
    { done: false, value: true },
    { done: false, value: true },
    { done: true, value: 3 },
  ]);
});
