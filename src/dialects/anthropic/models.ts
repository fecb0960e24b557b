import type { ListedModel } from "../listed-model.ts";

/** Body of GET /v1/models for clients that send `anthropic-version`, sorted by id, on one page. */
export function anthropicModelList(models: readonly ListedModel[]): Buffer {
  const data = models.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).map(item);
  return Buffer.from(
    JSON.stringify({ data, has_more: false, first_id: data[0]?.["id"] ?? null, last_id: data.at(-1)?.["id"] ?? null }),
  );
}

/** Body of GET /v1/models/{id} for clients that send `anthropic-version`. */
export function anthropicModelItem(model: ListedModel): Buffer {
  return Buffer.from(JSON.stringify(item(model)));
}

function item({ id, createdAtMs, contextLength }: ListedModel): Record<string, unknown> {
  return {
    type: "model",
    id,
    display_name: id,
    created_at: new Date(createdAtMs).toISOString().replace(/\.\d{3}Z$/, "Z"),
    max_input_tokens: contextLength,
  };
}
