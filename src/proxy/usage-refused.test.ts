import { afterEach, beforeEach, expect, it } from "vitest";
import { chatBody } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";

// Every stream is asked for its usage, because records are made from it. A server that does not know the option refuses the
// request for it, and the caller, who did not write it, must not pay for that.

const REFUSAL = {
  detail: [{ type: "extra_forbidden", loc: ["body", "stream_options"], msg: "Extra inputs are not permitted" }],
};

let plane: DataPlane;
let target: PlayedTarget;
beforeEach(async () => {
  plane = await startDataPlane();
  [target] = plane.serve("llama", "forge") as [PlayedTarget];
});
afterEach(() => plane.close());

function ask(path: string, body: Record<string, unknown>): Promise<Response> {
  return fetch(`http://127.0.0.1:${plane.port}${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${plane.key}` },
    body: JSON.stringify(body),
  });
}

const asked = ({ request }: { request: { body: unknown } }): unknown => JSON.parse(String(request.body)).stream_options;

async function answerWithout(): Promise<void> {
  const attempt = await target.next();
  expect(asked(attempt)).toBeUndefined();
  attempt.streamHead();
  attempt.token("hello");
  attempt.data('data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n');
  attempt.handler.onEnd();
}

it.each([
  ["/v1/chat/completions", chatBody("llama", { stream: true })],
  ["/v1/messages", { ...chatBody("llama", { stream: true }), max_tokens: 9 }],
])("a server that refuses to be asked for usage is asked again without, and from then on: %s", async (path, body) => {
  const response = ask(path, body);
  const first = await target.next();
  expect(asked(first)).toEqual({ include_usage: true });
  first.answer(422, REFUSAL);
  await answerWithout();
  expect(await (await response).text()).toContain("hello");
  expect(plane.closed).toMatchObject([
    { outcome: "ok", isEstimated: true, tokensOut: expect.toSatisfy((tokens: number) => tokens > 0) },
  ]);
  expect(plane.closed[0]?.attempts.map(({ status }) => status)).toEqual([422, 200]);
  expect(target.inFlight).toBe(0);

  const second = ask(path, body);
  await answerWithout();
  expect((await second).status).toBe(200);
  expect(plane.closed[1]?.attempts).toHaveLength(1);
});

it("what is wrong without it too is the caller's, and is not remembered", async () => {
  const body = chatBody("llama", { stream: true });
  const response = ask("/v1/chat/completions", body);
  (await target.next()).answer(400, { error: { message: "no: stream_options" } });
  (await target.next()).answer(400, { error: { message: "no: messages" } });
  expect((await response).status).toBe(400);
  expect(await (await response).text()).toContain("no: messages");
  const next = ask("/v1/chat/completions", body);
  const attempt = await target.next();
  expect(asked(attempt)).toEqual({ include_usage: true });
  attempt.answer(400, { error: { message: "no: temperature" } });
  expect((await next).status).toBe(400);
});

it("a caller that asks for usage itself reads the server's refusal", async () => {
  const response = ask(
    "/v1/chat/completions",
    chatBody("llama", { stream: true, stream_options: { include_usage: true } }),
  );
  (await target.next()).answer(422, REFUSAL);
  expect((await response).status).toBe(422);
  expect(target.attempts).toHaveLength(1);
});
