import { describe, expect, it } from "vitest";
import { tellProviderError, tellStreamError } from "./provider-error.ts";

const HOST = "mycompany.openai.azure.com";

function tell(status: number, body: unknown) {
  const bytes = Buffer.from(JSON.stringify(body));
  const told = tellProviderError(status, bytes, HOST);
  return { ...told, text: told.body.toString("utf8"), isSame: told.body === bytes };
}

const openai = (message: string, type: string, code: string | null) => ({
  error: { message, type, param: null, code },
});
const anthropic = (type: string, message: string) => ({
  type: "error",
  error: { type, message },
});

describe("tellProviderError()", () => {
  it.each([
    [400, openai("Invalid value: 'x'. Supported values are: 'a'.", "invalid_request_error", "invalid_value")],
    [
      400,
      openai(
        "This model's maximum context length is 128000 tokens. However, your messages resulted in 130000 tokens.",
        "invalid_request_error",
        "context_length_exceeded",
      ),
    ],
    [400, openai("Invalid schema for function 'get_organization': bad", "invalid_request_error", null)],
    [400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum")],
    [400, anthropic("invalid_request_error", "messages.1.content.0: Invalid `signature` in `thinking` block")],
    [529, anthropic("overloaded_error", "Overloaded")],
    [422, { detail: [{ loc: ["body", "user_location"], msg: "Extra inputs are not permitted" }] }],
  ])("passes %d about the request as the same bytes: %j", (status, body) => {
    expect(tell(status, body)).toMatchObject({ status, isSame: true, isAccount: false });
  });

  it.each([
    [401, openai("Incorrect API key provided: sk-proj-********abcd.", "invalid_request_error", "invalid_api_key")],
    [402, openai("Insufficient credits. Add more using https://openrouter.ai/settings/credits", "", "402")],
    [403, openai("Country, region, or territory not supported", "request_forbidden", "unsupported")],
    [
      429,
      openai(
        "You exceeded your current quota, please check your plan and billing",
        "insufficient_quota",
        "insufficient_quota",
      ),
    ],
    [400, anthropic("invalid_request_error", "Your credit balance is too low to access the Anthropic API.")],
    [400, anthropic("invalid_request_error", "This organization has been disabled.")],
    [
      404,
      openai("Your organization must be verified to use the model `o3`.", "invalid_request_error", "model_not_found"),
    ],
    [400, anthropic("billing_error", "x")],
  ])("tells nothing of the account behind %d %j, so that another target may serve", (status, body) => {
    expect(tell(status, body)).toMatchObject({ status: 403, text: "{}", isAccount: true });
  });

  it("says that the provider is busy where it names the organization and its limits", () => {
    const said = openai(
      "Rate limit reached for gpt-4o in organization org-AbCdEfGhIjKlMnOp on tokens per min (TPM): Limit 30000",
      "tokens",
      "rate_limit_exceeded",
    );
    const told = tell(429, said);
    expect(told).toMatchObject({ status: 429, isAccount: false });
    expect(JSON.parse(told.text)).toMatchObject({ error: { type: "rate_limit_error", code: "rate_limit_exceeded" } });
    expect(told.text).not.toMatch(/org-|30000|TPM/);
    const other = tell(429, anthropic("rate_limit_error", "This request would exceed your organization's rate limit"));
    expect(JSON.parse(other.text)).toMatchObject({ type: "error", error: { type: "rate_limit_error" } });
    expect(other.text).not.toContain("organization");
  });

  it("hides names and addresses in a message, and members that only the operator should see", () => {
    const told = tell(400, {
      error: {
        message: `Filtered by ${HOST}, see https://go.microsoft.com/fwlink/?linkid=2198766 or mail ada@example.org, req_011CSHoEeqs5C35K2UUqR7Fy, proj_0123456789abcdef`,
        code: "content_filter",
        metadata: { raw: "secret", provider_name: "Cloud" },
      },
      user_id: "user_2abcDEF3456789",
      request_id: "req_011CSHoEeqs5C35K2UUqR7Fy",
    });
    expect(JSON.parse(told.text)).toEqual({
      error: {
        message: "Filtered by [hidden], see [hidden] or mail [hidden], [hidden], [hidden]",
        code: "content_filter",
      },
    });
  });

  it("tells a moderator's no, which OpenRouter says with the status of a refused key, as an error of the request", () => {
    const body = openai("Your chosen model requires moderation and your input was flagged for violence", "", null);
    expect(tell(403, body)).toMatchObject({ status: 400, isAccount: false });
  });

  it("takes no time over a message that was made to take long", () => {
    const startedAt = performance.now();
    for (const word of ["a.", "a-", "org-a", "sk-a", "@a", "https://a"])
      tell(400, openai(word.repeat(60_000 / word.length), "invalid_request_error", null));
    expect(performance.now() - startedAt).toBeLessThan(2_000);
  });
});

describe("tellStreamError()", () => {
  it("leaves what is no error, and errors without names, as they are", () => {
    expect(tellStreamError('{"choices":[{"delta":{"content":"org-AbCdEfGhIjKlMnOp"}}]}', HOST)).toBeNull();
    expect(tellStreamError('{"choices":[],"error":null}', HOST)).toBeNull();
    expect(tellStreamError(JSON.stringify(anthropic("overloaded_error", "Overloaded")), HOST)).toBeNull();
  });

  it("hides the account behind an error, in the shape that it came in", () => {
    const said = JSON.stringify(anthropic("billing_error", "Your credit balance is too low"));
    expect(JSON.parse(tellStreamError(said, HOST) ?? "")).toEqual(
      anthropic("api_error", "The model's provider cannot go on"),
    );
    const named = JSON.stringify(openai("The server failed, req_011CSHoEeqs5C35K2UUqR7Fy", "server_error", null));
    expect(tellStreamError(named, HOST)).toContain("[hidden]");
  });
});
