import { describe, expect, test } from "vitest";
import { PosternError } from "../../errors.ts";
import { scanBody } from "../../lib/json-scan.ts";
import type { ListedModel } from "../listed-model.ts";
import { isLoadRequest, loadAnswer } from "./load-request.ts";
import { OLLAMA_API_VERSION, ollamaPs, ollamaShow, ollamaTags, ollamaVersion } from "./model-bodies.ts";
import { ollamaNameVariants } from "./model-names.ts";
import { readShowRequest } from "./show-request.ts";

const QWEN: ListedModel = {
  id: "qwen3:8b",
  createdAtMs: Date.UTC(2026, 10, 20, 14),
  contextLength: 40_960,
  sizeBytes: 5_225_388_164,
  quantization: "Q4_K_M",
  family: "qwen3",
  parameterSize: "8.2B",
  capabilities: ["completion", "tools", "thinking"],
  isLoaded: true,
};
const UNKNOWN: ListedModel = {
  id: "a/plain",
  createdAtMs: 0,
  contextLength: null,
  sizeBytes: null,
  quantization: null,
  capabilities: [],
  isLoaded: null,
};

const parsed = (body: Buffer): Record<string, unknown> => JSON.parse(body.toString());

describe("bodies that the gateway answers itself", () => {
  test("/api/tags lists every model, sorted, with a digest that clients can cut", () => {
    const { models } = parsed(ollamaTags([QWEN, UNKNOWN])) as { models: Record<string, unknown>[] };
    expect(models.map((model) => model["name"])).toEqual(["a/plain", "qwen3:8b"]);
    expect(models[1]).toEqual({
      name: "qwen3:8b",
      model: "qwen3:8b",
      modified_at: "2026-11-20T14:00:00.000Z",
      size: 5_225_388_164,
      digest: expect.stringMatching(/^[0-9a-f]{64}$/),
      details: {
        parent_model: "",
        format: "",
        family: "qwen3",
        families: ["qwen3"],
        parameter_size: "8.2B",
        quantization_level: "Q4_K_M",
      },
      capabilities: ["completion", "tools", "thinking"],
    });
    expect(models[0]).toMatchObject({ size: 0, details: { family: "", families: null }, capabilities: ["completion"] });
    expect(ollamaTags([]).toString()).toBe('{"models":[]}');
  });

  test("/api/ps lists what is in memory, as far as engines say", () => {
    const { models } = parsed(ollamaPs([UNKNOWN, { ...QWEN, id: "cold", isLoaded: false }, QWEN])) as {
      models: Record<string, unknown>[];
    };
    expect(models).toHaveLength(1);
    expect(models[0]).toMatchObject({ name: "qwen3:8b", context_length: 40_960, expires_at: "2318-01-01T00:00:00Z" });
  });

  test("/api/show tells window and capabilities, and nothing that the engine's owner wrote", () => {
    expect(parsed(ollamaShow(QWEN))).toEqual({
      details: {
        parent_model: "",
        format: "",
        family: "qwen3",
        families: ["qwen3"],
        parameter_size: "8.2B",
        quantization_level: "Q4_K_M",
      },
      model_info: {
        "general.architecture": "qwen3",
        "general.basename": "qwen3:8b",
        "qwen3.context_length": 40_960,
      },
      capabilities: ["completion", "tools", "thinking"],
      modified_at: "2026-11-20T14:00:00.000Z",
    });
    expect(parsed(ollamaShow({ ...UNKNOWN, contextLength: 4096 }))["model_info"]).toEqual({
      "general.architecture": "unknown",
      "general.basename": "a/plain",
      "unknown.context_length": 4096,
    });
  });

  test("/api/version is a version that clients compare", () => {
    expect(parsed(ollamaVersion())).toEqual({ version: OLLAMA_API_VERSION });
    expect(OLLAMA_API_VERSION).toMatch(/^\d+\.\d+\.\d+$/);
  });
});

describe("readShowRequest()", () => {
  const read = (text: string): string => {
    try {
      return readShowRequest(scanBody(Buffer.from(text)));
    } catch (error) {
      if (error instanceof PosternError) return error.code;
      throw error;
    }
  };

  test.each([
    ['{"model":"qwen3:8b","verbose":true}', "qwen3:8b"],
    ['{"name":"qwen3:8b"}', "qwen3:8b"],
    ['{"name":"a","model":"b"}', "b"],
    ['{"model":"","name":"a"}', "a"],
    ["{}", "model_missing"],
    ['{"model":7}', "model_missing"],
    ['{"model":"a","Model":"b"}', "body_ambiguous"],
    [`{"model":"${"a".repeat(300)}"}`, "model_not_found"],
  ])("%s", (body, expected) => {
    expect(read(body)).toBe(expected);
  });
});

test.each([
  ["llama3", ["llama3", "llama3:latest"]],
  ["llama3:latest", ["llama3:latest", "llama3"]],
  ["llama3:8b", ["llama3:8b"]],
  ["hf.co/a/b", ["hf.co/a/b", "hf.co/a/b:latest"]],
  ["host:5000/a/b", ["host:5000/a/b", "host:5000/a/b:latest"]],
  ["library/llama3", ["library/llama3", "library/llama3:latest", "llama3", "llama3:latest"]],
  ["registry.ollama.ai/library/llama3:8b", ["registry.ollama.ai/library/llama3:8b", "llama3:8b"]],
  [":latest", [":latest"]],
])("ollamaNameVariants() knows what %j may be called", (name, expected) => {
  expect(ollamaNameVariants(name)).toEqual(expected);
});

describe("requests that only load a model", () => {
  test.each([
    ["chat", '{"model":"m"}', true],
    ["chat", '{"model":"m","messages":[ ]}', true],
    ["chat", '{"model":"m","messages":[{"role":"user","content":""}]}', false],
    ["generate", '{"model":"m","prompt":""}', true],
    ["generate", '{"model":"m","prompt":"","images":["iVBO"]}', false],
    ["generate", '{"model":"m","suffix":"x"}', false],
  ] as const)("are told from others: %s %s", (kind, body, expected) => {
    expect(isLoadRequest(kind, scanBody(Buffer.from(body)))).toBe(expected);
  });

  test("are answered as Ollama answers them", () => {
    expect(loadAnswer("chat", "m", 0).toString()).toBe(
      '{"model":"m","created_at":"1970-01-01T00:00:00.000Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"load"}\n',
    );
  });
});
