import { expect, test } from "vitest";
import { adaptOpenAiError } from "./error.ts";

function adapt(status: number, body: unknown) {
  const adapted = adaptOpenAiError(status, Buffer.from(JSON.stringify(body)));
  return adapted === null ? null : { status: adapted.status, ...JSON.parse(String(adapted.body)) };
}

test("adaptOpenAiError() leaves the dialect's own shape alone, whatever it holds besides", () => {
  expect(adapt(400, { error: { message: "no", type: "x", code: 400, n_ctx: 2048 } })).toBeNull();
  expect(adaptOpenAiError(400, Buffer.from("not JSON"))).toBeNull();
  expect(adapt(400, ["no"])).toBeNull();
});

// The AI SDK showed "Bad Request" for every error of an SGLang, because it looks for `error.message` and nothing else.
test("adaptOpenAiError() puts other shapes into the dialect's, with the engine's message and status", () => {
  const flat = { object: "error", message: "temperature is wrong", type: "BadRequestError", param: null, code: 400 };
  expect(adapt(400, flat)).toEqual({
    status: 400,
    error: { message: "temperature is wrong", type: "invalid_request_error", param: null, code: null },
  });
  expect(adapt(404, { detail: "Not Found" })).toMatchObject({ status: 404, error: { message: "Not Found" } });
  expect(adapt(500, { error: "out of memory" })).toMatchObject({ status: 500, error: { message: "out of memory" } });
  expect(adapt(400, {})).toMatchObject({ status: 400, error: { message: expect.stringContaining("error") } });
  expect(adapt(400, { error: { message: 7 } })).toMatchObject({
    status: 400,
    error: { type: "invalid_request_error" },
  });
});

test("adaptOpenAiError() names a prompt that does not fit as clients know it", () => {
  const flat = {
    object: "error",
    message: "This model's maximum context length is 4096 tokens. However, your request has 9000 input tokens.",
    type: "BadRequestError",
    code: 400,
  };
  expect(adapt(400, flat)).toMatchObject({ status: 400, error: { code: "context_length_exceeded" } });
});

// Codex showed the whole body of a vLLM instead of shortening the conversation.
test.each([
  {
    message:
      "This model's maximum context length is 4096 tokens. However, your request has 9000 input tokens. Please …",
    type: "BadRequestError",
    param: "input_tokens",
    code: 400,
  },
  {
    message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    type: "exceed_context_size_error",
    code: 400,
    n_prompt_tokens: 9000,
    n_ctx: 4096,
  },
])("adaptOpenAiError() gives $type the code that clients know, and keeps the rest", (error) => {
  expect(adapt(400, { error })).toEqual({ status: 400, error: { ...error, code: "context_length_exceeded" } });
  expect(adapt(400, { error: { ...error, code: "context_length_exceeded" } })).toBeNull();
});
