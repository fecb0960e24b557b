import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ManualClock } from "../lib/clock.ts";
import { CONTROL_BURST, CONTROL_PER_SECOND } from "./constants.ts";
import { ControlChannel, readAgentLine, readGatewayLine } from "./control.ts";
import type { NodeReport } from "./link.ts";
import { conformReport, readReport } from "./report.ts";

const report: NodeReport = {
  agentVersion: "0.1.0",
  operationsVersion: 1,
  fieldsVersion: 1,
  hardware: { platform: "linux", arch: "x64", cpus: 8, memoryBytes: 2 ** 36, gpus: ["RTX 4090"] },
  engines: [
    {
      name: "ollama",
      kind: "ollama",
      version: "0.12.0",
      ready: true,
      reason: null,
      operations: ["openai.chat"],
      models: [
        {
          name: "llama3.1:8b",
          loaded: true,
          contextLength: 8192,
          sizeBytes: 5_000_000_000,
          quantization: "Q4_K_M",
          capabilities: ["completion"],
          remote: false,
        },
      ],
      slots: null,
    },
  ],
};
const [engine] = report.engines;
const [model] = engine!.models;

describe("readReport()", () => {
  test("reads a report and drops what it does not know", () => {
    expect(readReport({ ...report, later: true })).toEqual(report);
  });

  test.each<[string, unknown]>([
    ["too many engines", { ...report, engines: Array.from({ length: 33 }, (_, n) => ({ ...engine, name: `e${n}` })) }],
    ["two engines of one name", { ...report, engines: [engine, engine] }],
    ["too many models", { ...report, engines: [{ ...engine, models: Array.from({ length: 513 }, () => model) }] }],
    [
      "a model name that is too long",
      { ...report, engines: [{ ...engine, models: [{ ...model, name: "x".repeat(257) }] }] },
    ],
    [
      "a model name with an escape sequence",
      { ...report, engines: [{ ...engine, models: [{ ...model, name: "\u001b[31m" }] }] },
    ],
    ["a model name with a line break", { ...report, engines: [{ ...engine, models: [{ ...model, name: "a\nb" }] }] }],
    ["a negative size", { ...report, engines: [{ ...engine, models: [{ ...model, sizeBytes: -1 }] }] }],
    ["an unknown kind of engine", { ...report, engines: [{ ...engine, kind: "oracle" }] }],
    ["no hardware", { ...report, hardware: null }],
    ["an array", [report]],
  ])("refuses %s", (_what, value) => {
    expect(readReport(value)).toBeNull();
  });
});

describe("conformReport()", () => {
  test("leaves a good report as it is", () => {
    expect(conformReport(report)).toEqual(report);
  });

  test("makes any report one that is read: odd models and engines are left out, odd texts cut", () => {
    const odd: NodeReport = {
      ...report,
      agentVersion: "1\u001b[0m",
      hardware: { ...report.hardware, gpus: ["x".repeat(200), "a\nb"] },
      engines: [
        {
          ...engine!,
          reason: "r".repeat(600),
          models: [model!, { ...model!, name: "bad\nname" }, { ...model!, sizeBytes: -1 }],
        },
        { ...engine!, name: "" },
        ...Array.from({ length: 40 }, (_, n) => ({
          ...engine!,
          name: `e${n}`,
          models: Array.from({ length: 600 }, () => model!),
        })),
      ],
    };
    const conform = conformReport(odd);
    expect(readReport(conform)).toEqual(conform);
    expect(conform.engines).toHaveLength(32);
    expect(conform.engines[0]?.models).toEqual([model]);
  });
});

describe("readAgentLine() and readGatewayLine()", () => {
  test("read their own messages and each ignores the other's", () => {
    expect(readAgentLine(JSON.stringify({ type: "report", report }))).toEqual({ message: { type: "report", report } });
    expect(readAgentLine('{"type":"draining"}')).toEqual({ message: { type: "draining" } });
    expect(readGatewayLine('{"type":"drain","reason":"r","spreadMs":5}')).toEqual({
      message: { type: "drain", reason: "r", spreadMs: 5 },
    });
    expect(readGatewayLine('{"type":"wake","mac":"00:11:22:aa:bb:cc"}')).toEqual({
      message: { type: "wake", mac: "00:11:22:aa:bb:cc" },
    });
    expect(readGatewayLine('{"type":"wake","mac":"eth0; reboot"}')).toEqual({ trouble: "bad_message" });
    expect(readAgentLine('{"type":"drain","reason":"r","spreadMs":5}')).toEqual({ ignored: "drain" });
  });

  test("ignore what they do not know unless it is required", () => {
    expect(readAgentLine('{"type":"weather"}')).toEqual({ ignored: "weather" });
    expect(readGatewayLine('{"type":"weather","required":false}')).toEqual({ ignored: "weather" });
    expect(readGatewayLine('{"type":"weather","required":true}')).toEqual({ unsupported: "weather" });
  });

  test.each([
    ["{", "not_json"],
    ["null", "bad_message"],
    ["[]", "bad_message"],
    ["{}", "bad_message"],
    ['{"type":""}', "bad_message"],
    ['{"type":"report"}', "bad_message"],
    ['{"type":"report","report":{}}', "bad_report"],
  ])("call %s trouble: %s", (line, trouble) => {
    expect(readAgentLine(line)).toEqual({ trouble });
  });

  test("never throw, whatever the line", () => {
    const line = fc.oneof(
      fc.string({ unit: "binary", maxLength: 200 }),
      fc.json({ maxDepth: 5 }),
      fc
        .record({ type: fc.constantFrom("report", "draining", "drain", "bye", "models"), report: fc.jsonValue() })
        .map((v) => JSON.stringify(v)),
      fc.nat(20_000).map((depth) => `{"type":"report","report":${"[".repeat(depth)}${"]".repeat(depth)}}`),
    );
    fc.assert(
      fc.property(line, (text) => {
        expect(() => readAgentLine(text)).not.toThrow();
        expect(() => readGatewayLine(text)).not.toThrow();
      }),
    );
  });
});

describe("ControlChannel", () => {
  function channel() {
    const sent: string[] = [];
    const messages: unknown[] = [];
    const troubles: string[] = [];
    const clock = new ManualClock();
    const made = new ControlChannel((line) => sent.push(line), clock, readAgentLine, {
      onMessage: (message) => messages.push(message),
      onTrouble: (trouble) => troubles.push(trouble),
    });
    return { made, sent, messages, troubles, clock };
  }

  test("hands messages over, ignores optional ones that it does not know, and is over after the first trouble", () => {
    const { made, sent, messages, troubles } = channel();
    made.receive('{"type":"weather"}');
    made.receive('{"type":"draining"}');
    made.receive("[]");
    made.receive('{"type":"draining"}');
    made.send({ type: "draining" });
    expect(messages).toEqual([{ type: "draining" }]);
    expect(troubles).toEqual(["bad_message"]);
    expect(sent).toEqual([]);
  });

  test("says which required message it does not know, and gives up", () => {
    const { made, sent, troubles } = channel();
    made.receive('{"type":"teleport","required":true}');
    expect(JSON.parse(sent[0] ?? "")).toMatchObject({ type: "unsupported", of: "teleport" });
    expect(troubles).toEqual(["unsupported"]);
  });

  test(`takes ${CONTROL_BURST} messages at once and ${CONTROL_PER_SECOND} a second, not one more`, () => {
    const { made, messages, troubles, clock } = channel();
    for (let n = 0; n < CONTROL_BURST; n++) made.receive('{"type":"draining"}');
    clock.advance(1_000);
    for (let n = 0; n < CONTROL_PER_SECOND; n++) made.receive('{"type":"draining"}');
    expect(messages).toHaveLength(CONTROL_BURST + CONTROL_PER_SECOND);
    expect(troubles).toEqual([]);
    made.receive('{"type":"draining"}');
    expect(troubles).toEqual(["too_many_lines"]);
  });
});
