import type { ListedModel } from "../listed-model.ts";

/** Who every model belongs to, as far as callers are told: nodes and engines are nobody's business. */
const OWNED_BY = "postern";

/** Body of GET /v1/models, sorted by id. */
export function modelListBody(models: readonly ListedModel[]): Buffer {
  const data = models.toSorted((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0)).map(item);
  return Buffer.from(JSON.stringify({ object: "list", data }));
}

/** Body of GET /v1/models/{id}. */
export function modelItemBody(model: ListedModel): Buffer {
  return Buffer.from(JSON.stringify(item(model)));
}

function item({ id, createdAtMs }: ListedModel): Record<string, unknown> {
  return { id, object: "model", created: Math.floor(createdAtMs / 1000), owned_by: OWNED_BY };
}
