import { expect, test } from "vitest";
import { eventData, eventName } from "./sse.ts";

test.each([
  ["data: a\n\n", "a"],
  ["data:a\n\n", "a"],
  ["data:  a \r\n\r\n", " a "],
  ["data: a\ndata: b\n\n", "a\nb"],
  ["id: 1\nevent: x\ndata: {}\n\n", "{}"],
  ["data\n\n", ""],
  ["data:\n\n", ""],
  ["dataset: a\n\n", null],
  [": data: a\n\n", null],
  [" data: a\n\n", null],
  ["\n", null],
])("eventData(%j) is %j", (record, expected) => {
  expect(eventData(record)).toBe(expected);
});

test("eventName() is the last event line", () => {
  expect(eventName("event: error\r\ndata: {}\r\n\r\n")).toBe("error");
  expect(eventName("data: event: x\n\n")).toBeNull();
});
