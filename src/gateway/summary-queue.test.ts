import { beforeEach, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { SummaryQueue } from "./summary-queue.ts";

let clock: ManualClock;
let taken: string[];
let queue: SummaryQueue<string>;

beforeEach(() => {
  clock = new ManualClock();
  taken = [];
  queue = new SummaryQueue(clock, (summary) => void taken.push(summary));
});

function add(count: number, from = 0): void {
  for (let index = from; index < from + count; index++) queue.add(`${index}`);
}
const inOrder = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

test("summaries are taken together and in order after a moment", () => {
  add(100);
  expect(taken).toEqual([]);
  clock.advance(50);
  expect(taken).toEqual(inOrder(100));
});

test("a flush takes what waits, once", () => {
  add(20);
  queue.flush();
  expect(taken).toEqual(inOrder(20));
  clock.advance(50);
  expect(taken).toHaveLength(20);
});

test("more than may wait is taken at once", () => {
  add(512);
  expect(taken).toEqual(inOrder(512));
});
