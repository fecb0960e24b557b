import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readMetrics } from "./metrics-text.ts";

describe("readMetrics()", () => {
  test("reads llama-server's own answer", () => {
    const file = join(import.meta.dirname, "llama-server/__fixtures__/llama-server-b11549.json");
    const { "/metrics": text } = JSON.parse(readFileSync(file, "utf8")) as { "/metrics": string };
    const wanted = { "llamacpp:requests_processing": "sum", "llamacpp:requests_deferred": "sum" } as const;
    expect([...readMetrics(text, wanted)]).toEqual([
      ["llamacpp:requests_processing", 0],
      ["llamacpp:requests_deferred", 0],
    ]);
  });

  test("sums samples up or takes the largest, whatever their labels say", () => {
    const text = [
      "# HELP a text with a 7 in it",
      "# TYPE a gauge",
      'a{engine="0",model_name="x} 9 {y"} 1.0',
      'a{engine="1"} 2 1395066363000',
      'use{engine="0"} 0.25',
      'use{engine="1"} 0.75',
      "ab 50",
    ].join("\n");
    const found = readMetrics(text, { a: "sum", use: "max" });
    expect(Object.fromEntries(found)).toEqual({ a: 3, use: 0.75 });
  });

  test("leaves out what is no count: NaN, infinities, negative numbers, words, nothing", () => {
    const text = "a NaN\na +Inf\na -1\na x\na\na \n__proto__ 5\n";
    expect(readMetrics(text, { a: "sum" }).size).toBe(0);
  });

  test("is bounded in lines and in the length of one", () => {
    expect(readMetrics(`${"b 1\n".repeat(20_000)}a 1\n`, { a: "sum" }).size).toBe(0);
    expect(readMetrics(`a{x="${"y".repeat(3_000)}"} 1\n`, { a: "sum" }).size).toBe(0);
  });

  test("throws at nothing", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const value of readMetrics(text, { a: "sum" }).values()) expect(value).toBeGreaterThanOrEqual(0);
      }),
    );
  });
});
