import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { classify, MAX_TARGET_LENGTH } from "./classify.ts";
import { OPERATIONS } from "./operations.ts";

function meaning(method: string, target: string): string {
  try {
    const { operation, modelId } = classify(method, target);
    return modelId === null ? operation.id : `${operation.id} ${modelId}`;
  } catch (error) {
    if (error instanceof PosternError) return error.code;
    throw error;
  }
}

describe("classify()", () => {
  test.each([
    ["POST", "/v1/chat/completions", "openai.chat"],
    ["POST", "/api/v1/chat/completions", "openai.chat"],
    ["POST", "/v1/chat/completions?beta=true", "openai.chat"],
    ["POST", "/v1/completions", "openai.completions"],
    ["POST", "/v1/embeddings?", "openai.embeddings"],
    ["GET", "/v1/models", "openai.models"],
    ["GET", "/api/v1/models?limit=1000", "openai.models"],
    ["GET", "/v1/models/qwen3:8b", "openai.model qwen3:8b"],
    ["GET", "/v1/models/Qwen%2FQwen3-8B", "openai.model Qwen/Qwen3-8B"],
    ["GET", "/api/v1/models/hf.co%2fa%2Fb%3AQ4_K_M", "openai.model hf.co/a/b:Q4_K_M"],
    ["GET", "/v1/models/Qwen/Qwen3-8B", "openai.model Qwen/Qwen3-8B"],
    ["POST", "/v1/messages?beta=true", "anthropic.messages"],
    ["POST", "/api/v1/messages", "anthropic.messages"],
    ["POST", "/v1/messages/count_tokens?beta=true", "anthropic.count_tokens"],
    ["HEAD", "/api/hello", "anthropic.hello"],
    ["POST", "/api/chat", "ollama.chat"],
    ["POST", "/api/generate", "ollama.generate"],
    ["POST", "/api/embed", "ollama.embed"],
    ["POST", "/api/embeddings", "ollama.embeddings"],
    ["GET", "/api/tags", "ollama.tags"],
    ["GET", "/api/ps", "ollama.ps"],
    ["POST", "/api/show", "ollama.show"],
    ["GET", "/api/version", "ollama.version"],
    ["HEAD", "/", "ollama.root"],
  ])("knows %s %s", (method, target, expected) => {
    expect(meaning(method, target)).toBe(expected);
  });

  // Reference: engine-apis §5.2, every bypass class that concerns the target.
  test.each([
    ["GET", "/v1/chat/completions", "unknown_operation"],
    ["POST", "/v1/models", "unknown_operation"],
    ["post", "/v1/chat/completions", "unknown_operation"],
    ["POST", "/v1/chat/completions/", "unknown_operation"],
    ["POST", "/V1/chat/completions", "unknown_operation"],
    ["POST", "/v1/chat/completions/control", "unknown_operation"],
    ["POST", "/api/api/v1/chat/completions", "unknown_operation"],
    ["POST", "/api/%70ull", "unknown_operation"],
    ["POST", "/v1/%2e%2e/api/create", "unknown_operation"],
    ["POST", "/v1/chat%2Fcompletions", "unknown_operation"],
    ["POST", "/api/pull", "unknown_operation"],
    ["POST", "/api/push", "unknown_operation"],
    ["POST", "/api/create", "unknown_operation"],
    ["POST", "/api/copy", "unknown_operation"],
    ["DELETE", "/api/delete", "unknown_operation"],
    ["POST", "/api/blobs/sha256:0", "unknown_operation"],
    ["POST", "/api/api/chat", "unknown_operation"],
    ["HEAD", "/api/", "unknown_operation"],
    ["POST", "/api/chat/", "unknown_operation"],
    ["HEAD", "/api/api/hello", "unknown_operation"],
    ["GET", "/api/hello", "unknown_operation"],
    ["POST", "/v1/messages/", "unknown_operation"],
    ["POST", "/v1/messages/batches", "unknown_operation"],
    ["GET", "/v1/models/", "unknown_operation"],
    ["GET", "/v1/models/%2e%2e", "unknown_operation"],
    ["GET", "/v1/models/a%252Fb", "unknown_operation"],
    ["GET", "/v1/models/a%2F..%2Fb", "unknown_operation"],
    ["GET", "/v1/models/a%2F%2Fb", "unknown_operation"],
    ["GET", "/v1/models/%2Fa", "unknown_operation"],
    ["GET", "/v1/models/a%00", "unknown_operation"],
    ["GET", "/v1/models/a$b", "unknown_operation"],
    ["POST", "//v1/chat/completions", "bad_target"],
    ["POST", "/v1//chat/completions", "bad_target"],
    ["POST", "/v1/./chat/completions", "bad_target"],
    ["POST", "/v1/x/../chat/completions", "bad_target"],
    ["POST", "/v1/..", "bad_target"],
    ["POST", "/v1\\..\\api\\create", "bad_target"],
    ["POST", "/v1/chat/completions;x=1", "bad_target"],
    ["POST", "/v1/chat/completions#x", "bad_target"],
    ["POST", "/v1/chat/completions?a#x", "bad_target"],
    ["POST", "/v1/chat/completions ", "bad_target"],
    ["POST", "/v1/chat/comple\ttions", "bad_target"],
    ["POST", "/v1/chat/completions\x7f", "bad_target"],
    ["POST", "/v1/chat/complétions", "bad_target"],
    ["POST", "http://x/v1/chat/completions", "bad_target"],
    ["POST", "x:443", "bad_target"],
    ["OPTIONS", "*", "bad_target"],
    ["POST", "", "bad_target"],
    ["POST", `/v1/chat/completions?${"a".repeat(MAX_TARGET_LENGTH)}`, "bad_target"],
  ])("refuses %s %j as %s", (method, target, expected) => {
    expect(meaning(method, target)).toBe(expected);
  });

  test.each([
    "key=AIza",
    "a=b&api_key=x",
    "api-key=x",
    "API%5FKEY=x",
    "%61pi-key=x",
    "access_token=x",
    "Authorization=Bearer%20x",
    "token",
    "x=pst_0123456789ab",
    "x=%70st_0123456789ab",
  ])("refuses a credential in the query: %s", (query) => {
    expect(meaning("POST", `/v1/chat/completions?${query}`)).toBe("key_in_query");
    expect(meaning("GET", `/nowhere?${query}`)).toBe("key_in_query");
  });

  test("takes nothing but the exact public paths for an operation", () => {
    const exact = new Map(
      OPERATIONS.filter(({ kind }) => kind !== "item").flatMap(({ id, method, path }) => [
        [`${method} ${path}`, id],
        ...(path.startsWith("/v1/") ? [[`${method} /api${path}`, id] as const] : []),
      ]),
    );
    const known = [...exact.keys()].map((key) => key.split(" ") as [string, string]);
    const noise = fc.constantFrom(
      "/",
      "//",
      ".",
      "..",
      "%2F",
      "%2f",
      "%2e",
      ";",
      "\\",
      "?",
      "#",
      "v1",
      "api",
      "A",
      "\0",
      "é",
      " ",
      "",
    );
    const near = fc
      .tuple(fc.constantFrom(...known), fc.nat(40), fc.nat(2), noise)
      .map(([[method, path], at, drop, part]) => {
        const place = Math.min(at, path.length);
        return [method, path.slice(0, place) + part + path.slice(place + drop)] as const;
      });
    const method = fc.constantFrom("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "get");
    const far = fc.tuple(
      method,
      fc.string({ unit: "binary", maxLength: 40 }).map((text) => `/${text}`),
    );
    fc.assert(
      fc.property(fc.oneof(near, far), ([verb, target]) => {
        let found: ReturnType<typeof classify>;
        try {
          found = classify(verb, target);
        } catch (error) {
          expect(error).toBeInstanceOf(PosternError);
          return;
        }
        const path = target.split("?", 1)[0] ?? "";
        if (found.modelId === null) {
          expect(exact.get(`${verb} ${path}`)).toBe(found.operation.id);
        } else {
          expect(verb).toBe("GET");
          expect(path).toMatch(/^(\/api)?\/v1\/models\/[A-Za-z0-9._~:@+=,/%-]+$/);
          expect(found.modelId).not.toMatch(/%|\/\/|^\/|\/$|(^|\/)\.\.?(\/|$)/);
        }
      }),
      { numRuns: 3000 },
    );
  });
});
