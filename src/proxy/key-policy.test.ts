import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, type DataPlaneOptions, startDataPlane } from "../../test/support/data-plane.ts";
import { createKey } from "../access/key-format.ts";
import { LEASE_TTL_MS } from "../access/leases.ts";
import { type KeyPolicy, writePolicy } from "../access/policy.ts";
import { SWEEP_MS } from "./sweeper.ts";

let plane: DataPlane;

async function start(options: DataPlaneOptions = {}): Promise<DataPlane> {
  await plane?.close();
  plane = await startDataPlane(options);
  return plane;
}

beforeEach(async () => {
  plane = await startDataPlane();
});
afterEach(() => plane.close());

/** Sends a chat and gives the whole answer; a target that is played answers at once. */
async function ask(key: string, fields: Record<string, unknown> = {}, headers = "", path = "/v1/chat/completions") {
  const request = chatRequest(key, chatBody("m", fields), headers).replace("/v1/chat/completions", path);
  const connection = plane.raw(request.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"));
  const text = await connection.untilClosed();
  const [head = "", body = ""] = text.split("\r\n\r\n");
  const names = head.split("\r\n").slice(1);
  const header = (name: string) =>
    names.find((line) => line.toLowerCase().startsWith(`${name}:`))?.slice(name.length + 2) ?? null;
  return { status: connection.status, header, body };
}

/** Answers every attempt, for ever. */
function answerAll(tokensIn = 3, tokensOut = 2) {
  const [target] = plane.serve("m", "lab");
  if (target === undefined) throw new Error("no target");
  target.operations = new Set(["openai.chat", "anthropic.messages", "ollama.chat"]);
  target.play = (attempt) => attempt.answer(200, chatAnswer("x", tokensIn, tokensOut));
  return target;
}

/** A stream that has begun. */
async function stream(key: string) {
  const [target] = plane.serve("m", "lab");
  const connection = plane.raw(chatRequest(key, chatBody("m", { stream: true })));
  const attempt = await target?.next();
  attempt?.streamHead();
  attempt?.token("hello");
  await connection.until("hello");
  return { connection, attempt };
}

describe("limits of a key", () => {
  test("too many requests a minute are told in each dialect's own form, with when to come back", async () => {
    answerAll();
    const { key } = plane.addKey(null, { requestsPerMinute: 1 });
    const first = await ask(key);
    expect(first.status).toBe(200);
    expect(first.header("x-ratelimit-limit-requests")).toBe("1");
    expect(first.header("x-ratelimit-remaining-requests")).toBe("0");
    expect(first.header("x-ratelimit-reset-requests")).toMatch(/^1m[0-5]s$/);

    const openai = await ask(key);
    expect(openai.status).toBe(429);
    expect(Number(openai.header("retry-after"))).toBeGreaterThanOrEqual(55);
    expect(openai.header("x-should-retry")).toBe("true");
    expect(openai.header("x-ratelimit-remaining-requests")).toBe("0");
    expect(openai.header("x-postern-error")).toBe("request_rate_limited");
    expect(JSON.parse(openai.body).error).toMatchObject({ type: "requests", code: "rate_limit_exceeded" });

    const anthropic = await ask(key, { max_tokens: 5 }, "", "/v1/messages");
    expect(anthropic.status).toBe(429);
    expect(JSON.parse(anthropic.body).error.type).toBe("rate_limit_error");
    expect(anthropic.header("anthropic-ratelimit-requests-remaining")).toBe("0");
    expect(anthropic.header("anthropic-ratelimit-requests-reset")).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);

    const ollama = await ask(key, {}, "", "/api/chat");
    expect(ollama.status).toBe(429);
    expect(JSON.parse(ollama.body).error).toContain("requests a minute");

    plane.clock.advance(65_000);
    expect((await ask(key)).status).toBe(200);
  });

  test("a spent budget is told apart from a rate: no retry, and when it begins anew", async () => {
    answerAll();
    const { key } = plane.addKey(null, { budgets: { tokensPerDay: { hard: 2000 } } });
    const spent = await ask(key, { max_tokens: 5000 });
    expect(spent.status).toBe(429);
    expect(spent.header("x-should-retry")).toBe("false");
    expect(Number(spent.header("retry-after"))).toBeGreaterThan(60);
    expect(JSON.parse(spent.body).error).toMatchObject({ type: "insufficient_quota", code: "insufficient_quota" });
    expect(JSON.parse(spent.body).error.message).toContain("Token budget reached (daily; resets ");
    const anthropic = await ask(key, { max_tokens: 5000 }, "", "/v1/messages");
    expect(JSON.parse(anthropic.body).error.type).toBe("billing_error");
    expect(anthropic.header("x-should-retry")).toBe("false");
    expect((await ask(key, { max_tokens: 500 })).status).toBe(200);
  });

  test("what was really used is booked, not what was reserved", async () => {
    answerAll(10, 90);
    const { key, id } = plane.addKey(null, { tokensPerMinute: 1000, budgets: { tokensPerDay: { hard: 1150 } } });
    for (let count = 0; count < 3; count++) expect((await ask(key, { max_tokens: 600 })).status).toBe(200);
    expect(plane.keyLimits.spent(id, plane.clock.nowMs()).day.tokens).toBe(300);
    const last = await ask(key, { max_tokens: 690 });
    expect(last.header("x-postern-error")).toBe("token_rate_limited");
    expect(last.header("x-ratelimit-remaining-tokens")).toBe("700");
    expect((await ask(key, { max_tokens: 5000 })).header("x-postern-error")).toBe("token_rate_exceeded");
  });

  test("a refused request costs nothing, whatever refused it", async () => {
    answerAll();
    const { key, id } = plane.addKey(["m"], { requestsPerMinute: 1, tokensPerMinute: 3000, concurrency: 1 });
    expect((await ask(key, { model: "other" })).status).toBe(404);
    expect((await ask(key, { grammar: "x" })).status).toBe(400);
    expect((await ask(key, { max_tokens: 9000 })).status).toBe(429);
    expect((await ask(key, {}, "X-Postern-Node: nowhere\r\n")).status).toBe(503);
    expect(plane.keyLimits.open(id)).toBe(0);
    expect((await ask(key)).status).toBe(200);
  });

  test("concurrency is held by what runs for as long as it runs, and by nothing else", async () => {
    const { key, id } = plane.addKey(null, { concurrency: 1 });
    const { connection } = await stream(key);
    for (let waitedMs = 0; waitedMs < 2 * LEASE_TTL_MS; waitedMs += SWEEP_MS) plane.clock.advance(SWEEP_MS);
    expect((await ask(key)).header("x-postern-error")).toBe("too_many_requests");
    connection.socket.destroy();
    while (plane.keyLimits.open(id) > 0) await new Promise(setImmediate);
    answerAll();
    expect((await ask(key)).status).toBe(200);
  });

  test("money is counted by the price of the model, and a soft edge is told without a refusal", async () => {
    await start({ prices: [{ model: "m*", inputMicros: 1_000_000, cachedMicros: 0, outputMicros: 10_000_000 }] });
    answerAll(100, 50);
    const { key, id } = plane.addKey(null, { budgets: { costMicrosPerMonth: { soft: 600, hard: 1500 } } });
    expect((await ask(key, { max_tokens: 60 })).header("x-postern-budget")).toBeNull();
    expect(plane.closed[0]?.costMicros).toBe(600);
    const second = await ask(key, { max_tokens: 60 });
    expect(second.header("x-postern-budget")).toBe("costMicrosPerMonth");
    expect(plane.summaries.at(-1)?.softBudget).toBe("costMicrosPerMonth");
    expect((await ask(key, { max_tokens: 60 })).header("x-postern-error")).toBe("budget_spent");
    expect(plane.keyLimits.spent(id, plane.clock.nowMs()).month.costMicros).toBe(1200);
  });

  test("in shadow nothing is refused, and what would have been is reported", async () => {
    answerAll();
    const { key } = plane.addKey(null, { requestsPerMinute: 1, shadow: true });
    for (let count = 0; count < 3; count++) expect((await ask(key)).status).toBe(200);
    expect(plane.summaries.map(({ shadow }) => shadow)).toEqual([
      null,
      ["request_rate_limited"],
      ["request_rate_limited"],
    ]);
  });
});

describe("policy of a key", () => {
  test.each<[string, Partial<KeyPolicy>, string, string]>([
    ["its addresses", { addresses: ["192.0.2.0/24"] }, "", "address_denied"],
    ["its operations", { operations: ["openai.embeddings"] }, "", "operation_denied"],
    ["its dialects", { dialects: ["ollama-chat"] }, "", "operation_denied"],
    ["its endpoints", { endpoints: ["team"] }, "", "endpoint_denied"],
    ["that it may not pin", { mayPin: false }, "X-Postern-Node: lab\r\n", "pin_denied"],
  ])("%s are judged by the head, before the body has come", async (_what, policy, headers, code) => {
    plane.serve("m", "lab");
    const { key } = plane.addKey(null, policy);
    const request = `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\n${headers}`;
    const connection = plane.raw(`${request}Content-Length: 100\r\n\r\n`);
    await connection.until("}}");
    expect(connection.status).toBe(403);
    expect(connection.text).toContain(`x-postern-error: ${code}`);
    if (code === "address_denied") expect(connection.text).toContain("127.0.0.1");
    connection.socket.destroy();
  });

  test("targets outside of it are not tried", async () => {
    const [one, two] = plane.serve("m", "one", "two");
    const { key } = plane.addKey(null, { targets: { nodes: ["two"] } });
    const connection = plane.raw(chatRequest(key, chatBody("m")));
    (await two?.next())?.answer(501, { error: { message: "broken" } });
    await connection.until("}");
    expect(one?.attempts).toHaveLength(0);
    connection.socket.destroy();
    const nowhere = plane.addKey(null, { targets: { tags: ["gpu"] } }).key;
    expect((await ask(nowhere)).status).toBe(503);
  });

  test("a key that is not valid yet opens nothing until it is, and one that is disabled nothing at all", async () => {
    answerAll();
    const { key, id } = plane.addKey(null, { notBeforeMs: plane.clock.nowMs() + 1000 });
    expect((await ask(key)).status).toBe(401);
    plane.clock.advance(1000);
    expect((await ask(key)).status).toBe(200);
    plane.changeKey(id, { disabledAtMs: plane.clock.nowMs() });
    expect((await ask(key)).status).toBe(401);
    plane.changeKey(id, { disabledAtMs: null });
    expect((await ask(key)).status).toBe(200);
  });
});

describe("a running stream ends in under a second of the gateway's clock", () => {
  const until = "API key was revoked";

  test("when its key is disabled, revoked or gone", async () => {
    for (const end of [
      (id: string) => plane.changeKey(id, { disabledAtMs: 1 }),
      (id: string) => plane.changeKey(id, { revokedAtMs: 1 }),
      () => plane.keyring.replaceAll([]),
    ]) {
      await start();
      const { key, id } = plane.addKey(null);
      const { connection, attempt } = await stream(key);
      end(id);
      await connection.until(until);
      expect(await attempt?.whenCancelled).toBe("revoked");
      await connection.untilClosed();
    }
  });

  test("when the grace of the secret that opened it ends, and not before", async () => {
    const { key, id } = plane.addKey(null);
    const { connection, attempt } = await stream(key);
    const next = createKey((size) => new Uint8Array(size).fill(7), id);
    const untilMs = plane.clock.nowMs() + 5000;
    const { hash } = plane.keyring.find(id)?.record ?? {};
    plane.changeKey(id, { hash: next.hash, previousHash: hash ?? null, previousUntilMs: untilMs });
    plane.clock.advance(4999);
    attempt?.token("still");
    await connection.until("still");
    plane.clock.advance(SWEEP_MS);
    await connection.until(until);
    expect(SWEEP_MS).toBeLessThan(1000);
    await connection.untilClosed();
  });

  test("when its key expires, and not before; one that waits for its body or a target too", async () => {
    const expiresAtMs = plane.clock.nowMs() + 5000;
    const { key } = plane.addKey(null, { expiresAtMs });
    const { connection, attempt } = await stream(key);
    const body = chatBody("m");
    const half = plane.raw(chatRequest(key, body).slice(0, -5));
    while (plane.pipeline.running < 2) await new Promise((resolve) => setImmediate(resolve));
    plane.clock.advance(4999);
    attempt?.token("still");
    await connection.until("still");
    plane.clock.advance(SWEEP_MS);
    await connection.until(until);
    expect(await attempt?.whenCancelled).toBe("revoked");
    await connection.untilClosed();
    half.socket.write(chatRequest(key, body).slice(-5));
    await half.until("HTTP/1.1 401");
    half.socket.destroy();
  });

  test("when its key's policy leaves out the target that answers, and none is asked that it leaves out", async () => {
    const { key, id } = plane.addKey(null);
    const [own, cloud] = plane.serve("m", "own", "cloud");
    if (own === undefined || cloud === undefined) throw new Error("no targets");
    cloud.leaves = true;
    own.inFlight = 0;
    cloud.inFlight = 5;
    const connection = plane.raw(chatRequest(key, chatBody("m", { stream: true })));
    const attempt = await own.next();
    // The plan of before has the cloud in it.
    plane.changeKey(id, { policy: writePolicy({ version: 1, mayLeave: "no" }) });
    attempt.handler.onFailure({ phase: "connect", kind: "unreachable", detail: "" });
    await connection.until("HTTP/1.1 5");
    expect(cloud.attempts).toEqual([]);
    await start();
    const next = plane.addKey(null);
    const [away] = plane.serve("m", "cloud");
    if (away === undefined) throw new Error("no target");
    away.leaves = true;
    const second = plane.raw(chatRequest(next.key, chatBody("m", { stream: true })));
    const answered = await away.next();
    answered.streamHead();
    answered.token("far");
    await second.until("far");
    plane.changeKey(next.id, { policy: writePolicy({ version: 1, mayLeave: "no" }) });
    await second.until(until);
    await second.untilClosed();
  });

  test("when its key is rotated without grace", async () => {
    const { key, id } = plane.addKey(null);
    const { connection } = await stream(key);
    plane.changeKey(id, { hash: createKey((size) => new Uint8Array(size).fill(7), id).hash });
    await connection.until(until);
    await connection.untilClosed();
  });

  test("when the key's new policy would refuse it, and not when it would not", async () => {
    const policies: [Partial<KeyPolicy>, boolean][] = [
      [{ models: ["m"] }, false],
      [{ models: ["other"] }, true],
      [{ addresses: ["192.0.2.1"] }, true],
      [{ operations: ["openai.embeddings"] }, true],
    ];
    for (const [policy, isEnded] of policies) {
      await start();
      const { key, id } = plane.addKey(null);
      const { connection, attempt } = await stream(key);
      plane.changeKey(id, { policy: writePolicy({ version: 1, ...policy }) });
      if (isEnded) await connection.until(until);
      else attempt?.token("goes on");
      if (!isEnded) await connection.until("goes on");
      connection.socket.destroy();
    }
  });

  test("and a wall clock that jumps a day ends no stream and frees no limit", async () => {
    const { key } = plane.addKey(null, {
      requestsPerMinute: 1,
      concurrency: 1,
      expiresAtMs: plane.clock.nowMs() + 1e12,
    });
    const { connection, attempt } = await stream(key);
    for (const byMs of [86_400_000, -2 * 86_400_000]) {
      plane.clock.jump(byMs);
      plane.clock.advance(SWEEP_MS);
      expect((await ask(key)).header("x-postern-error")).toBe("request_rate_limited");
    }
    attempt?.token("goes on");
    await connection.until("goes on");
    connection.socket.destroy();
  });
});
