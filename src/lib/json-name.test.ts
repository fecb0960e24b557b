import fc from "fast-check";
import { expect, test } from "vitest";
import { foldName, plainName } from "./json-name.ts";

const read = (text: string) => {
  const bytes = Buffer.from(`{"${text}":1}`);
  return plainName(bytes, 2, bytes.length - 4);
};

test("plainName() reads what stands there, whatever stood in its place before", () => {
  const name = fc.oneof(
    fc.constantFrom("role", "ROLE", "rule", "content", "type", "text", "", "ſource", "sourſe", "é", "ee", "名前"),
    fc.string({ maxLength: 30 }).filter((text) => !/["\\\p{Cc}\ud800-\udfff]/u.test(text)),
  );
  fc.assert(
    fc.property(fc.array(name, { maxLength: 40 }), (names) => {
      for (const text of names) expect(read(text)).toEqual({ text, folded: foldName(text) });
    }),
  );
});

test("plainName() decodes a common name once", () => {
  expect(read("tool_call_id")).toBe(read("tool_call_id"));
});
