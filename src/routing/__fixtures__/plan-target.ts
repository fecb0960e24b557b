import { hashText } from "../hash.ts";
import type { PlanTarget } from "../plan.ts";

/** A target on a node of its own that is free and takes chats. */
export function planTarget(id: string, fields: Partial<PlanTarget> = {}): PlanTarget {
  return {
    id,
    hash: hashText(id),
    backend: { kind: "node", id: `id-${id}`, name: id, label: `node/${id}`, locality: "own", tags: [] },
    isLoaded: true,
    operations: new Set(["openai.chat"]),
    busy: 0,
    slots: null,
    leaves: false,
    isLoading: false,
    isAsleep: false,
    canAccept: () => true,
    ...fields,
  };
}
