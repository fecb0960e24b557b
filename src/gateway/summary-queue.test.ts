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
const turn = () => new Promise((resolve) => setImmediate(resolve));
const inOrder = (count: number) => Array.from({ length: count }, (_, index) => `${index}`);

test("summaries are taken in order after a moment, a few in each turn of the event loop", async () => {
  add(100);
  expect(taken).toEqual([]);
  clock.advance(50);
  expect(taken).toHaveLength(16);
  await turn();
  expect(taken).toHaveLength(32);
  add(1, 100);
  for (let turns = 0; turns < 6; turns++) await turn();
  expect(taken).toEqual(inOrder(100));
  clock.advance(50);
  expect(taken).toEqual(inOrder(101));
});

test("a flush takes what waits and what is being taken, in order and once", async () => {
  add(100);
  clock.advance(50);
  add(20, 100);
  queue.flush();
  expect(taken).toEqual(inOrder(120));
  await turn();
  clock.advance(50);
  expect(taken).toHaveLength(120);
});

test("what is left when the next moment comes is taken before what came since", () => {
  add(100);
  clock.advance(50);
  add(100, 100);
  clock.advance(50);
  expect(taken).toEqual(inOrder(116));
});

test("more than may wait is taken at once", () => {
  add(512);
  expect(taken).toEqual(inOrder(512));
});
