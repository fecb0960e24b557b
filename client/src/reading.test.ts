import fc from "fast-check";
import { expect, test } from "vitest";
import { EventReader } from "./event-reader.ts";
import { topLevelMembers } from "./top-level-members.ts";

test("topLevelMembers() finds the members that JSON.parse finds, in any object", () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.jsonValue()), fc.constantFrom(undefined, 1, "\t"), (object, indent) => {
      const json = JSON.stringify(object, null, indent);
      const members = topLevelMembers(json);
      const read = Object.fromEntries(
        (members ?? []).map(({ name, start, end }) => [name, JSON.parse(json.slice(start, end))]),
      );
      expect(read).toEqual(JSON.parse(json));
    }),
  );
});

test.each([
  "",
  "[]",
  "1",
  "{",
  '{"a"',
  '{"a":',
  '{"a":}',
  '{"a":1',
  '{"a":1,}',
  '{"a":"',
  '{"a":[}',
  '{"a":1}x',
  "{a:1}",
])("topLevelMembers() takes %j for no object", (json) => {
  expect(topLevelMembers(json)).toBeNull();
});

test("EventReader finds the same events however the bytes are cut", () => {
  const text = ': comment\r\n\r\nevent: ä\ndata: {"x":"€"}\n\ndata: two\ndata:lines\r\n\r\nid: 1\n\ndata: last';
  const bytes = new TextEncoder().encode(text);
  fc.assert(
    fc.property(fc.array(fc.nat(bytes.length), { maxLength: 12 }), (cuts) => {
      const events: unknown[] = [];
      const reader = new EventReader("sse", (data, name) => events.push([data, name]));
      const edges = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
      for (let at = 1; at < edges.length; at += 1) reader.push(bytes.subarray(edges[at - 1], edges[at]));
      reader.end();
      expect(events).toEqual([
        ['{"x":"€"}', "ä"],
        ["two\nlines", null],
        ["last", null],
      ]);
    }),
  );
});

test("EventReader refuses an event without end", () => {
  const reader = new EventReader("ndjson", () => {});
  const chunk = new Uint8Array(1024 * 1024).fill(0x78);
  expect(() => {
    for (let times = 0; times < 17; times += 1) reader.push(chunk);
  }).toThrow(RangeError);
});
