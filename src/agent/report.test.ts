import { expect, test } from "vitest";
import { CONTROL_LINE_LIMIT } from "../tunnel/constants.ts";
import type { EngineReport } from "../tunnel/link.ts";
import { readReport } from "../tunnel/report.ts";
import { basicHardware } from "./hardware.ts";
import { buildReport } from "./report.ts";

function engine(name: string, models: number): EngineReport {
  return {
    name,
    kind: "ollama",
    version: "1",
    ready: true,
    reason: null,
    operations: ["openai.chat"],
    slots: null,
    models: Array.from({ length: models }, (_, index) => ({
      name: `model-${index}-${"x".repeat(180)}`,
      loaded: true,
      contextLength: 1,
      sizeBytes: 1,
      quantization: "Q4_K_M",
      capabilities: ["completion"],
      remote: false,
    })),
  };
}

test("buildReport() makes what the gateway's reader takes, in one line of the control stream, however many models there are", () => {
  const report = buildReport("0.1.0", basicHardware(), [
    engine("big", 512),
    ...Array.from({ length: 31 }, (_, i) => engine(`e${i}`, 400)),
  ]);
  expect(readReport(JSON.parse(JSON.stringify(report)))).toEqual(report);
  expect(Buffer.byteLength(JSON.stringify({ type: "report", report }))).toBeLessThan(CONTROL_LINE_LIMIT);
  expect(report.engines.length).toBe(32);
  expect(report.engines.every((one) => one.models.length > 0)).toBe(true);
});

test("buildReport() leaves a small list whole", () => {
  const small = engine("one", 3);
  expect(buildReport("0.1.0", basicHardware(), [small]).engines).toEqual([small]);
});
