import fc from "fast-check";
import { expect, test } from "vitest";
import { ProviderStream } from "./provider-stream.ts";

const HOST = "api.example.com";
const TEXT = 'data: {"choices":[{"delta":{"content":"say \\"error\\" to org-AbCdEfGhIjKlMnOp"}}]}\n\n';
const ERROR = 'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"org-AbCdEfGhIjKlMnOp"}}\n\n';

function pass(...chunks: readonly Buffer[]): string {
  const stream = new ProviderStream(HOST);
  return Buffer.concat([...chunks.map((chunk) => stream.push(chunk)), stream.finish()]).toString("utf8");
}

test("ProviderStream passes what is no error as the same buffer, whatever a text says", () => {
  const chunk = Buffer.from(TEXT);
  expect(new ProviderStream(HOST).push(chunk)).toBe(chunk);
});

test("ProviderStream hides names in errors, however the stream is cut", () => {
  const all = Buffer.from(TEXT + ERROR);
  const whole = pass(all);
  expect(whole).toBe(TEXT + ERROR.replace("org-AbCdEfGhIjKlMnOp", "[hidden]"));
  fc.assert(
    fc.property(fc.array(fc.nat(all.length), { maxLength: 8 }), (cuts) => {
      const at = [0, ...cuts.toSorted((a, b) => a - b), all.length];
      expect(pass(...at.slice(1).map((end, index) => all.subarray(at[index], end)))).toBe(whole);
    }),
  );
});

test("ProviderStream passes on what never came to its end", () => {
  expect(pass(Buffer.from(`${TEXT}data: {"ch`))).toBe(`${TEXT}data: {"ch\n\n`);
});
