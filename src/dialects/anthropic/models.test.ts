import { expect, test } from "vitest";
import type { ListedModel } from "../listed-model.ts";
import { anthropicModelItem, anthropicModelList } from "./models.ts";

function model(id: string, contextLength: number | null = null): ListedModel {
  return {
    id,
    createdAtMs: 1_763_600_000_123,
    contextLength,
    sizeBytes: 1,
    quantization: "Q4_K_M",
    capabilities: ["tools"],
    isLoaded: true,
  };
}

test("anthropicModelList() is one page, sorted, in the dialect's own fields", () => {
  expect(JSON.parse(anthropicModelList([model("qwen3-for-claude", 32768), model("a/b:c")]).toString())).toEqual({
    data: [
      { type: "model", id: "a/b:c", display_name: "a/b:c", created_at: "2025-11-20T00:53:20Z", max_input_tokens: null },
      {
        type: "model",
        id: "qwen3-for-claude",
        display_name: "qwen3-for-claude",
        created_at: "2025-11-20T00:53:20Z",
        max_input_tokens: 32768,
      },
    ],
    has_more: false,
    first_id: "a/b:c",
    last_id: "qwen3-for-claude",
  });
  expect(JSON.parse(anthropicModelList([]).toString())).toEqual({
    data: [],
    has_more: false,
    first_id: null,
    last_id: null,
  });
});

test("anthropicModelItem() is one of them", () => {
  expect(JSON.parse(anthropicModelItem(model("m")).toString())).toMatchObject({ type: "model", id: "m" });
});
