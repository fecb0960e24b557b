import { describe, expect, test } from "vitest";
import { ERRORS, type ErrorCode, PosternError } from "../errors.ts";
import { errorAnswer, errorBody, modelNotFoundMessage } from "./error-body.ts";

describe("errorAnswer()", () => {
  test("speaks OpenAI", () => {
    const answer = errorAnswer("openai", new PosternError("model_not_found", { message: "no", param: "model" }));
    expect(answer.status).toBe(404);
    expect(answer.headers).toEqual({
      "content-type": "application/json",
      "x-postern-error": "model_not_found",
      "x-should-retry": "false",
    });
    expect(JSON.parse(answer.body.toString())).toEqual({
      error: { message: "no", type: "invalid_request_error", param: "model", code: "model_not_found" },
    });
  });

  test("speaks Anthropic, with its own status for overload", () => {
    const answer = errorAnswer("anthropic", new PosternError("no_target", { retryAfterSeconds: 5 }));
    expect(answer.status).toBe(529);
    expect(answer.headers).toMatchObject({ "retry-after": "5", "x-should-retry": "true" });
    expect(JSON.parse(answer.body.toString())).toEqual({
      type: "error",
      error: { type: "overloaded_error", message: ERRORS.no_target.message },
    });
  });

  test("tells Anthropic's clients of a full context so that they compact", () => {
    const told = (message?: string) =>
      errorBody("anthropic", new PosternError("context_length_exceeded", message === undefined ? {} : { message }));
    expect(told()).toContain(
      '"prompt is too long: The prompt is longer than the model\'s context (capability_rejected: prompt_too_long)"',
    );
    expect(told("request (90 tokens) exceeds the available context size (80 tokens)")).toContain(
      '"prompt is too long: 90 tokens > 80 maximum (capability_rejected: prompt_too_long)"',
    );
    expect(errorBody("openai", new PosternError("context_length_exceeded"))).not.toContain("capability_rejected");
  });

  test("speaks Ollama", () => {
    expect(errorBody("ollama", new PosternError("unauthorized"))).toBe('{"error":"Incorrect API key provided"}');
  });

  test.each([
    [0, "1"],
    [0.2, "1"],
    [5.1, "6"],
    [3600, "60"],
  ])("gives Retry-After %d as %s", (seconds, expected) => {
    expect(
      errorAnswer("openai", new PosternError("overloaded", { retryAfterSeconds: seconds })).headers["retry-after"],
    ).toBe(expected);
  });

  test("tells nobody what was wrong with a key", () => {
    const bodies = ["unknown", "wrong", "expired"].map((reason) =>
      errorAnswer("openai", new PosternError("unauthorized", { detail: { reason }, hint: reason })).body.toString(),
    );
    expect(new Set(bodies).size).toBe(1);
  });

  test("never shows hints, details or causes", () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      for (const family of ["openai", "anthropic", "ollama"] as const) {
        const error = new PosternError(code, {
          hint: "HIDDEN",
          detail: { host: "HIDDEN" },
          cause: new Error("HIDDEN"),
        });
        const { body, headers } = errorAnswer(family, error);
        expect(body.toString() + JSON.stringify(headers)).not.toContain("HIDDEN");
      }
    }
  });
});

test("modelNotFoundMessage() names what the key may use, sorted and bounded", () => {
  expect(modelNotFoundMessage("x", ["b", "a"])).toContain("This key may use: a, b");
  expect(modelNotFoundMessage("x", [])).toContain("no model");
  const many = modelNotFoundMessage(
    "y".repeat(10_000),
    Array.from({ length: 500 }, (_, at) => `m${at}`),
  );
  expect(many).toMatch(/ and 480 more$/);
  expect(many.length).toBeLessThan(500);
});
