import { describe, expect, it } from "vitest";
import { createUuidV7 } from "../../lib/uuidv7.ts";
import { coversBackend, coversRequest, type FaultScope, isInShare } from "./fault.ts";

const ALL: FaultScope = { providers: null, nodes: null, models: null, workflows: null, share: 1 };

describe("isInShare()", () => {
  it("takes about the share that it is told, of ids that differ in their last digits only", () => {
    const newId = createUuidV7();
    const ids = Array.from({ length: 4_000 }, newId);
    for (const share of [0.05, 0.25, 0.9]) {
      const taken = ids.filter((id) => isInShare(id, share)).length / ids.length;
      expect(taken).toBeGreaterThan(share - 0.04);
      expect(taken).toBeLessThan(share + 0.04);
    }
  });

  it("judges a request the same way every time", () => {
    const id = createUuidV7()();
    expect(isInShare(id, 0.5)).toBe(isInShare(id, 0.5));
    expect(isInShare(id, 1)).toBe(true);
  });
});

describe("a scope", () => {
  it("covers everything where it names nothing, and otherwise the union of what it names", () => {
    const openai = { kind: "provider", name: "openai" } as const;
    const forge = { kind: "node", name: "forge" } as const;
    expect(coversBackend(ALL, openai) && coversBackend(ALL, forge)).toBe(true);
    expect(coversBackend({ ...ALL, providers: ["*"] }, openai)).toBe(true);
    expect(coversBackend({ ...ALL, providers: ["*"] }, forge)).toBe(false);
    expect(coversBackend({ ...ALL, providers: ["other"], nodes: ["forge"] }, forge)).toBe(true);
    expect(coversBackend({ ...ALL, nodes: ["openai"] }, openai)).toBe(false);
  });

  it("never covers a request without a workflow when it names workflows", () => {
    const subject = { requestId: "r", model: "gpt", workflow: undefined };
    expect(coversRequest(ALL, subject)).toBe(true);
    expect(coversRequest({ ...ALL, workflows: ["letters"] }, subject)).toBe(false);
    expect(coversRequest({ ...ALL, workflows: ["letters"] }, { ...subject, workflow: "letters" })).toBe(true);
    expect(coversRequest({ ...ALL, models: ["llama*"] }, subject)).toBe(false);
  });
});
