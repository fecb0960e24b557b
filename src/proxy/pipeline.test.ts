import { afterEach, describe, expect, it } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";

let plane: DataPlane;
async function start(options: DataPlaneOptions = {}): Promise<DataPlane> {
  plane = await startDataPlane(options);
  return plane;
}
afterEach(() => plane.close());

/** Text of each SSE record in an answer. */
function records(text: string): string[] {
  return [...text.matchAll(/data: (.*)\r?\n/g)].map((match) => match[1] ?? "");
}

describe("a stream", () => {
  it("reaches the caller chunk by chunk and ends cleanly with its usage on the record", async () => {
    const { key, serve, raw, closed, opened } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    expect(JSON.parse(String(attempt.request.body))).toMatchObject({
      model: "llama",
      stream_options: { include_usage: true },
    });
    expect(attempt.request.headers["authorization"]).toBeUndefined();
    attempt.streamHead();
    attempt.token("Hel");
    await caller.until("Hel");
    expect(caller.status).toBe(200);
    expect(caller.text).toContain("X-Postern-Served-By: node/forge");
    attempt.token("lo");
    attempt.finish(7, 2);
    await caller.until("[DONE]");
    expect(caller.text).not.toContain('"usage"');
    expect(opened).toHaveLength(1);
    expect(closed).toMatchObject([{ outcome: "ok", tokensIn: 7, tokensOut: 2, isEstimated: false, status: 200 }]);
    caller.socket.destroy();
  });

  it("of a pipelined request waits for the one before it, and the connection carries nothing of a stream that is over", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    const request = chatRequest(key, chatBody("llama", { stream: true }));
    const caller = raw(request + request);
    const first = await target!.next();
    first.streamHead();
    first.token("FIRST");
    await caller.until("FIRST");
    expect(target!.attempts).toHaveLength(1);
    first.finish();
    const second = await target!.next();
    second.streamHead();
    second.token("SECOND");
    await caller.until("SECOND");
    second.token("MORE");
    second.finish();
    await caller.until("MORE");
    const [one = "", two = ""] = caller.text.split("HTTP/1.1 200 OK").slice(1);
    expect(one).toMatch(/FIRST[\s\S]*\[DONE\]\n\n\r\n0\r\n\r\n$/);
    expect(one).not.toMatch(/SECOND|MORE/);
    expect(two).toMatch(/SECOND[\s\S]*MORE/);
    expect(caller.socket.destroyed).toBe(false);
    caller.socket.destroy();
  });

  it("shows the usage chunk to a caller that asked for it", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true, stream_options: { include_usage: true } })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("x");
    attempt.finish(7, 2);
    await caller.until("[DONE]");
    expect(caller.text).toContain('"total_tokens":9');
    caller.socket.destroy();
  });

  it("that is cut after content ends with an error in the dialect and without any clean end", async () => {
    const { key, serve, raw, closed } = await start();
    const [target, other] = serve("llama", "forge", "anvil");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await Promise.race([target!.next(), other!.next()]);
    attempt.streamHead();
    attempt.token("half an ans");
    await caller.until("half an ans");
    attempt.handler.onFailure({ phase: "body", kind: "cut", detail: "cut" });
    const text = await caller.untilClosed();
    expect(records(text).at(-1)).toContain('"error"');
    expect(text).not.toContain("[DONE]");
    expect(text.endsWith("0\r\n\r\n")).toBe(false);
    expect(closed).toMatchObject([
      { outcome: "failed", errorCode: "engine_cut", isEstimated: true, tokensIn: expect.any(Number) },
    ]);
    expect(target!.attempts.length + other!.attempts.length).toBe(1);
  });

  it("that ends without a finish is an error although its framing was clean", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("half");
    attempt.data("data: [DONE]\n\n");
    attempt.handler.onEnd();
    const text = await caller.untilClosed();
    expect(text).toContain("engine_cut");
    expect(text).not.toContain("[DONE]");
  });

  it("goes to another target when the first fails before content", async () => {
    const { key, serve, raw, closed } = await start();
    const [forge, anvil] = serve("llama", "forge", "anvil");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const first = await Promise.race([
      forge!.next().then((a) => [a, anvil] as const),
      anvil!.next().then((a) => [a, forge] as const),
    ]);
    first[0].streamHead();
    first[0].handler.onFailure({ phase: "body", kind: "reset", detail: "reset" });
    const second = first[1]!.attempts[0] ?? (await first[1]!.next());
    second.streamHead();
    second.token("answer");
    second.finish();
    await caller.until("[DONE]");
    expect(caller.text).toContain("X-Postern-Attempts: 2");
    expect(closed[0]?.attempts.map((one) => one.errorCode)).toEqual(["link_lost", null]);
    caller.socket.destroy();
  });

  it("is committed after the hold time and kept alive, and a later failure is told in-band", async () => {
    const { key, serve, raw, clock } = await start({ limits: { attempts: 1 } });
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    clock.advance(9_000);
    expect(caller.text).toBe("");
    clock.advance(2_000);
    await caller.until("\r\n\r\n");
    expect(caller.status).toBe(200);
    expect(caller.text).toContain("X-Postern-Served-By: pending");
    clock.advance(16_000);
    await caller.until(": ping\n\n");
    attempt.answer(500, { error: { message: "out of memory" } });
    const text = await caller.untilClosed();
    expect(text).toContain('"error"');
    expect(text).not.toContain("[DONE]");
  });

  it("that stalls is stopped on the engine and told to the caller", async () => {
    const { key, serve, raw, clock } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("one");
    await caller.until("one");
    clock.advance(121_000);
    expect(await attempt.whenCancelled).toBe("deadline");
    expect(await caller.untilClosed()).toContain("engine_stalled");
  });

  it("of a caller that leaves is cancelled at once and settled with an estimate", async () => {
    const { key, serve, raw, closed } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("one");
    await caller.until("one");
    caller.socket.destroy();
    expect(await attempt.whenCancelled).toBe("caller_left");
    expect(closed).toMatchObject([{ outcome: "aborted", isEstimated: true }]);
    expect(closed[0]?.tokensOut).toBeGreaterThan(0);
    expect(target!.inFlight).toBe(0);
  });

  it("ends within the same turn when its key is revoked", async () => {
    const { key, keyId, serve, raw, changeKey, clock, closed } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("one");
    await caller.until("one");
    changeKey(keyId, { revokedAtMs: clock.nowMs() });
    expect(attempt.cancelled).toBe("revoked");
    expect(await caller.untilClosed()).toContain("revoked");
    expect(closed).toMatchObject([{ outcome: "stopped", errorCode: "revoked" }]);
    const again = raw(chatRequest(key, chatBody("llama")));
    await again.until("\r\n\r\n");
    expect(again.status).toBe(401);
    again.socket.destroy();
  });

  it("to a caller that does not read is paused, and memory stays bounded", async () => {
    const { key, serve, raw, clock } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama", { stream: true })));
    caller.socket.pause();
    const attempt = await target!.next();
    attempt.streamHead();
    const token = "x".repeat(16_384);
    let sent = 0;
    for (; !attempt.isPaused && sent < 4096; sent++) {
      attempt.token(token);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(attempt.isPaused).toBe(true);
    clock.advance(301_000);
    expect(await attempt.whenCancelled).toBe("caller_left");
    caller.socket.destroy();
  });
});

describe("an answer that is not streamed", () => {
  const answer = chatAnswer();

  it("is sent whole with its length", async () => {
    const { key, serve, raw, closed } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama")));
    (await target!.next()).answer(200, answer);
    await caller.until('"hello"');
    expect(caller.status).toBe(200);
    expect(caller.text).toContain(`Content-Length: ${JSON.stringify(answer).length}`);
    expect(closed).toMatchObject([{ outcome: "ok", tokensIn: 4, tokensOut: 1, isEstimated: false }]);
    caller.socket.destroy();
  });

  it("of a caller that leaves is stopped on the engine, and its prompt is counted", async () => {
    const { key, serve, raw, closed } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama")));
    const attempt = await target!.next();
    caller.socket.destroy();
    expect(await attempt.whenCancelled).toBe("caller_left");
    expect(closed).toMatchObject([{ outcome: "aborted", isEstimated: true, tokensOut: 0 }]);
    expect(closed[0]?.tokensIn).toBeGreaterThan(0);
  });

  it("that breaks off is a 502, never a half body", async () => {
    const { key, serve, raw } = await start({ limits: { attempts: 1 } });
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama")));
    const attempt = await target!.next();
    attempt.handler.onHead(200, { "content-type": "application/json" });
    attempt.data('{"choices":[{"message":{"content":"hal');
    attempt.handler.onFailure({ phase: "body", kind: "cut", detail: "cut" });
    await caller.until("\r\n\r\n");
    expect(caller.status).toBe(502);
    expect(caller.text).toContain("X-Postern-Error: engine_cut".toLowerCase());
    caller.socket.destroy();
  });

  it("that is longer than any that a model writes is a 502", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    const caller = raw(chatRequest(key, chatBody("llama")));
    const attempt = await target!.next();
    attempt.handler.onHead(200, { "content-type": "application/json" });
    const chunk = Buffer.alloc(1024 * 1024, 0x20);
    for (let sent = 0; sent < 17 && attempt.cancelled === null; sent++) attempt.handler.onData(chunk);
    expect(attempt.cancelled).toBe("protocol");
    await caller.until("engine_bad_answer");
    expect(caller.status).toBe(502);
    caller.socket.destroy();
  });

  it("keeps the engine's own words for an error about the request", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge", "anvil");
    const caller = raw(chatRequest(key, chatBody("llama"), "X-Postern-Node: forge\r\n"));
    (await target!.next()).answer(400, {
      error: { message: "too long", type: "invalid_request_error", code: "context_length_exceeded" },
    });
    await caller.until("context_length_exceeded");
    expect(caller.status).toBe(400);
    caller.socket.destroy();
  });

  it("with redirects, HTML or odd statuses becomes a 502 and is cancelled on the engine", async () => {
    for (const [status, type] of [
      [302, "text/html"],
      [200, "text/html"],
      [204, "application/json"],
    ] as const) {
      const { key, serve, raw, close } = await start();
      const [target] = serve("llama", "forge");
      const caller = raw(chatRequest(key, chatBody("llama")));
      const attempt = await target!.next();
      attempt.handler.onHead(status, { "content-type": type });
      await caller.until("\r\n\r\n");
      expect(caller.status).toBe(502);
      expect(attempt.cancelled).toBe("protocol");
      caller.socket.destroy();
      await close();
    }
  });
});

describe("a refusal", () => {
  it("of a key looks the same whatever is wrong with it", async () => {
    const { addKey, serve, raw, clock, changeKey } = await start();
    serve("llama", "forge");
    const expired = addKey(null, { expiresAtMs: clock.nowMs() - 1 });
    const revoked = addKey(null);
    changeKey(revoked.id, { revokedAtMs: clock.nowMs() });
    const answers: string[] = [];
    for (const key of ["", "nonsense", `pst_${"0".repeat(12)}_${"0".repeat(43)}`, expired.key, revoked.key]) {
      const caller = raw(chatRequest(key, chatBody("llama")));
      await caller.until("}}");
      answers.push(caller.text.replace(/^(Date|X-Request-Id|Request-Id):.*\r\n/gim, ""));
      caller.socket.destroy();
    }
    expect(new Set(answers).size).toBe(1);
    expect(answers[0]).toContain("401");
    expect(answers[0]).toContain("invalid_api_key");
  });

  it("for an unknown model is a 404 that names what this key may use, and nothing goes upstream", async () => {
    const { addKey, serve, raw } = await start();
    const [llama] = serve("llama", "forge");
    serve("secret-model", "forge");
    const { key } = addKey(["lla*"]);
    const caller = raw(chatRequest(key, chatBody("secret-model")));
    await caller.until("}}");
    expect(caller.status).toBe(404);
    expect(caller.text).toContain("model_not_found");
    expect(caller.text).toContain("llama");
    expect(llama!.attempts).toHaveLength(0);
    caller.socket.destroy();
  });

  it("because the node is away is a 503 with Retry-After", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    target!.isAccepting = false;
    const caller = raw(chatRequest(key, chatBody("llama")));
    await caller.until("}}");
    expect(caller.status).toBe(503);
    expect(caller.text.toLowerCase()).toContain("retry-after: 5");
    caller.socket.destroy();
  });

  it("gives back everything that was reserved before it", async () => {
    const { key, serve, raw, pipeline } = await start({ limits: { requestsPerKey: 1, bodyMemoryBytes: 4096 } });
    serve("llama", "forge");
    for (let round = 0; round < 5; round++) {
      const caller = raw(chatRequest(key, `{"model":"nope","pad":"${"x".repeat(3000)}"}`));
      await caller.until("}}");
      expect(caller.status).toBe(404);
      caller.socket.destroy();
    }
    expect(pipeline.running).toBe(0);
  });

  it("of a second request beyond the key's limit is a 429, and the slot comes back when the first ends", async () => {
    const { key, serve, raw } = await start({ limits: { requestsPerKey: 1 } });
    const [target] = serve("llama", "forge");
    const first = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    const second = raw(chatRequest(key, chatBody("llama")));
    await second.until("}}");
    expect(second.status).toBe(429);
    first.socket.destroy();
    await attempt.whenCancelled;
    const third = raw(chatRequest(key, chatBody("llama")));
    await target!.next();
    third.socket.destroy();
    second.socket.destroy();
  });

  it("of a body too large comes before the body does", async () => {
    const { key, raw } = await start({ limits: { bodyBytes: 1000 } });
    const caller = raw(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: 100000\r\n\r\n`,
    );
    await caller.until("\r\n\r\n");
    expect(caller.status).toBe(413);
    expect(caller.text.toLowerCase()).toContain("connection: close");
    caller.socket.destroy();
  });

  it("is a 400 for bodies that two parsers could read differently", async () => {
    const { key, serve, raw } = await start();
    const [target] = serve("llama", "forge");
    for (const body of [
      '{"model":"llama","Model":"other"}',
      '{"model":"llama","model":"x"}',
      "not json",
      "[1]",
      `{"a":${"[".repeat(100)}${"]".repeat(100)}}`,
    ]) {
      const caller = raw(chatRequest(key, body));
      await caller.until("}}");
      expect(caller.status).toBe(400);
      caller.socket.destroy();
    }
    expect(target!.attempts).toHaveLength(0);
  });

  it("while draining is a 503, and what runs may finish", async () => {
    const { key, serve, raw, pipeline } = await start();
    const [target] = serve("llama", "forge");
    const running = raw(chatRequest(key, chatBody("llama", { stream: true })));
    const attempt = await target!.next();
    attempt.streamHead();
    attempt.token("a");
    const drained = pipeline.drain(60_000);
    const late = raw(chatRequest(key, chatBody("llama")));
    await late.until("}}");
    expect(late.status).toBe(503);
    attempt.finish();
    await running.until("[DONE]");
    await drained;
    running.socket.destroy();
    late.socket.destroy();
  });
});

it("a request whose body was still coming when everything was stopped goes nowhere", async () => {
  const { key, serve, raw, pipeline, opened } = await start();
  const [target] = serve("llama", "forge");
  const request = chatRequest(key, chatBody("llama"));
  const caller = raw(request.slice(0, -5));
  while (pipeline.running === 0) await new Promise((resolve) => setImmediate(resolve));
  pipeline.stopAll();
  caller.socket.write(request.slice(-5));
  await caller.until("shutting_down");
  expect(caller.status).toBe(503);
  expect([target!.attempts.length, opened.length, pipeline.running]).toEqual([0, 0, 0]);
  caller.socket.destroy();
});

it.each(["/v1/chat/%63ompletions", "/v1/unknown", "/api/pull", "/V1/models", "/v1/models?", "/"])(
  "POST %s is a 404",
  async (path) => {
    const { key, raw } = await start();
    const caller = raw(
      `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Length: 0\r\n\r\n`,
    );
    await caller.until("}}");
    expect(caller.status).toBe(404);
    caller.socket.destroy();
  },
);

describe("callers that hold what they do not use", () => {
  it("a body that trickles is a 408, and its slot and its memory come back", async () => {
    const { key, serve, raw, clock, pipeline } = await start({ limits: { requestsPerKey: 1, bodyMemoryBytes: 2048 } });
    const [target] = serve("llama", "forge");
    const slow = raw(chatRequest(key, "x".repeat(2000)).slice(0, -1990));
    while (pipeline.running === 0) await new Promise((resolve) => setImmediate(resolve));
    clock.advance(10_000);
    expect(pipeline.running).toBe(1);
    clock.advance(1_000);
    await slow.until("request_timeout");
    expect(slow.status).toBe(408);
    expect(slow.text).toContain("Connection: close");
    expect(pipeline.running).toBe(0);
    const next = raw(chatRequest(key, chatBody("llama")));
    await target!.next();
    expect(target!.attempts).toHaveLength(1);
    for (const one of [slow, next]) one.socket.destroy();
  });

  it("a body that comes at the least rate may take its time, up to the limit for the whole", async () => {
    const { key, raw, clock, pipeline } = await start({ limits: { bodyRateBytes: 1 } });
    const steady = raw(chatRequest(key, "x".repeat(2000)).slice(0, -1000));
    while (pipeline.running === 0) await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setTimeout(resolve, 20));
    clock.advance(119_000);
    expect(pipeline.running).toBe(1);
    clock.advance(2_000);
    await steady.until("request_timeout");
    steady.socket.destroy();
  });

  it("one address has only so many requests at a time, whatever its keys; an IPv6 customer's /64 is one address", async () => {
    let address = "2001:db8:1:2::1";
    const { addKey, serve, raw, pipeline } = await start({
      limits: { requestsPerAddress: 1 },
      originOf: () => ({ address, source: "peer" }),
    });
    const [target] = serve("llama", "forge");
    const first = raw(chatRequest(addKey(null).key, chatBody("llama", { stream: true })));
    await target!.next();
    address = "2001:db8:1:2:ffff::9";
    const second = raw(chatRequest(addKey(null).key, chatBody("llama")));
    await second.until("from this address");
    expect(second.status).toBe(429);
    address = "2001:db8:1:3::1";
    const third = raw(chatRequest(addKey(null).key, chatBody("llama", { stream: true })));
    await target!.next();
    for (const one of [first, second, third]) one.socket.destroy();
    while (pipeline.running > 0) await new Promise((resolve) => setImmediate(resolve));
  });
});

describe("the list of models", () => {
  it("shows what the key may use, and ids with a slash by their escaped path", async () => {
    const { addKey, serve, raw } = await start();
    serve("org/llama:8b", "forge");
    serve("hidden", "forge");
    const { key } = addKey(["org/*"]);
    const get = (path: string) =>
      raw(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n\r\n`);
    const list = get("/v1/models");
    await list.until("]}");
    expect(list.text).toContain('"org/llama:8b"');
    expect(list.text).not.toContain("hidden");
    const item = get("/v1/models/org%2Fllama%3A8b");
    await item.until('"}');
    expect(item.status).toBe(200);
    const none = get("/v1/models/hidden");
    await none.until("}}");
    expect(none.status).toBe(404);
    for (const one of [list, item, none]) one.socket.destroy();
  });
});
