import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Deployment, deploy } from "../support/deployment.ts";
import { eventually } from "../support/eventually.ts";
import { cleanUp } from "../support/postern.ts";

/**
 * The main job across processes: the official client, a gateway with TLS, a tunnel, an agent and a real llama.cpp. The demo
 * model spells a fixed text, so that what arrives can be compared; its endless variant goes on for as long as it is asked.
 */
let it_: Deployment;
let isSkipped = false;

beforeAll(async () => {
  const deployed = await deploy("tunnel");
  if (deployed === null) isSkipped = true;
  else it_ = deployed;
});
afterAll(cleanUp);

function chat(maxTokens: number, options: Record<string, unknown> = {}, signal?: AbortSignal) {
  return it_.client.chat.completions.create(
    {
      model: it_.model,
      messages: [{ role: "user", content: "hello" }],
      max_tokens: maxTokens,
      stream: true,
      ...options,
    } as OpenAI.ChatCompletionCreateParamsStreaming,
    signal === undefined ? {} : { signal },
  );
}

interface RequestRow {
  requests: number;
  failed: number;
  aborted: number;
  tokensOut: number;
  estimated: number;
}

async function usageTotal(): Promise<RequestRow> {
  return (await it_.cli<{ total: RequestRow }>("usage")).total;
}

describe("through gateway, tunnel and agent to llama.cpp", () => {
  it("the client lists, streams and gets exact usage", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const names: string[] = [];
    for await (const model of it_.client.models.list()) names.push(model.id);
    expect(names).toContain(it_.model);
    const stream = await chat(40, { stream_options: { include_usage: true } });
    let text = "";
    let chunks = 0;
    let usage: OpenAI.CompletionUsage | null | undefined;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      chunks += 1;
      usage = chunk.usage ?? usage;
    }
    expect(text.trim()).toMatch(/^Hello! I am Postern/);
    expect(chunks).toBeGreaterThan(10);
    expect(usage?.completion_tokens).toBe(40);
    const before = await it_.client.chat.completions.create({
      model: it_.model,
      messages: [{ role: "user", content: "hello" }],
      max_tokens: 5,
    });
    expect(before.usage?.completion_tokens).toBe(5);
    const total = await eventually(async () => {
      const now = await usageTotal();
      return now.requests >= 2 ? now : undefined;
    }, "two usage records");
    expect(total).toMatchObject({ requests: 2, failed: 0, tokensOut: 45, estimated: 0 });
  });

  it("errors are the client's own types", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    await expect(it_.client.models.retrieve("nobody/has:this")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    await expect(it_.client.chat.completions.create({ model: "none", messages: [] })).rejects.toMatchObject({
      status: 404,
      code: "model_not_found",
    });
    const stranger = it_.client.withOptions({ apiKey: `pst_${"x".repeat(12)}_${"y".repeat(43)}` });
    await expect(stranger.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
    const tooLong = it_.client.chat.completions.create({
      model: it_.model,
      messages: [{ role: "user", content: "word ".repeat(20_000) }],
    });
    await expect(tooLong).rejects.toMatchObject({ status: 400, code: "context_length_exceeded" });
  });

  it("a client that cancels stops the engine, and is on the record as aborted", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const { aborted } = await usageTotal();
    const stream = await chat(8000);
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta.content) break;
    }
    await eventually(async () => ((await usageTotal()).aborted > aborted ? true : undefined), "an aborted record");
    await eventually(async () => {
      const text = await (await fetch(`${it_.adminUrl}/metrics`)).text();
      return /^postern_streams_active 0$/m.test(text) ? true : undefined;
    }, "no active stream");
  });

  it("killing the agent in the middle of an answer is told to the client, and the node comes back", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const stream = await chat(8000);
    let chunks = 0;
    await expect(
      (async () => {
        for await (const _chunk of stream) {
          chunks += 1;
          if (chunks === 1) await it_.agent.kill();
        }
      })(),
    ).rejects.toThrow();
    expect(chunks).toBeGreaterThan(0);
    await expect(it_.client.chat.completions.create({ model: it_.model, messages: [] })).rejects.toMatchObject({
      status: expect.toSatisfy((status: number) => status === 503 || status === 404),
    });
    await it_.startAgent();
    await it_.untilServed();
    const again = await it_.client.chat.completions.create({
      model: it_.model,
      messages: [{ role: "user", content: "x" }],
      max_tokens: 3,
    });
    expect(again.usage?.completion_tokens).toBe(3);
  });

  it("killing the gateway loses no record: what ran is settled as interrupted at the next start, once", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const { data: stream, response } = await chat(8000).withResponse();
    const id = response.headers.get("x-request-id") ?? "";
    await expect(
      (async () => {
        let isFirst = true;
        for await (const _chunk of stream) {
          if (isFirst) await it_.gateway.kill();
          isFirst = false;
        }
      })(),
    ).rejects.toThrow();
    await it_.startGateway();
    await it_.untilServed();
    const record = await eventually(async () => it_.request(id), "the interrupted record");
    expect(record).toMatchObject({ outcome: "interrupted", isEstimated: true, model: it_.model });
    const before = await usageTotal();
    await it_.gateway.kill();
    await it_.startGateway();
    await it_.untilServed();
    expect(await usageTotal()).toEqual(before);
  });

  it("revoking a key ends its stream within a second and closes the door", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const { key, secret } = await it_.cli<{ key: { id: string }; secret: string }>("keys", "create", "short-lived");
    const client = it_.client.withOptions({ apiKey: secret });
    const controller = new AbortController();
    const response = await client.chat.completions
      .create(
        { model: it_.model, messages: [{ role: "user", content: "x" }], max_tokens: 8000, stream: true },
        { signal: controller.signal },
      )
      .asResponse();
    // Not read any further: the stream stands still, full of tokens, until the key is revoked.
    const reader = response.body?.getReader();
    const first = await reader?.read();
    expect(new TextDecoder().decode(first?.value)).toContain("data:");
    await it_.cli("keys", "revoke", key.id);
    let text = "";
    try {
      for (;;) {
        const next = await reader?.read();
        if (next === undefined || next.done) break;
        text += new TextDecoder().decode(next.value);
      }
    } catch {
      // The connection is broken off on purpose.
    }
    expect(text).not.toContain("[DONE]");
    // By the gateway's own clock, because how soon a busy machine hands the end over to this process says nothing of it.
    const id = response.headers.get("x-request-id") ?? "";
    const record = await eventually(async () => it_.request(id), "the record of the stopped stream");
    const { revokedAtMs } = await it_.cli<{ revokedAtMs: number }>("keys", "show", key.id);
    expect(record).toMatchObject({ outcome: "stopped", errorCode: "revoked" });
    expect(record.closedAtMs - revokedAtMs).toBeLessThan(1000);
    await expect(client.models.list()).rejects.toBeInstanceOf(OpenAI.AuthenticationError);
  });

  it("a gateway that drains lets a running answer finish and refuses new ones", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const stream = await chat(500);
    let chunks = 0;
    let finish: string | null | undefined;
    for await (const chunk of stream) {
      chunks += 1;
      if (chunks === 1) it_.gateway.child.kill("SIGTERM");
      finish = chunk.choices[0]?.finish_reason ?? finish;
    }
    expect(finish).toBe("length");
    expect(await it_.gateway.exited).toBe(0);
    await it_.startGateway();
    await it_.untilServed();
  });

  it("removing a node ends its links at once and its agent stays out", async (context) => {
    context.skip(isSkipped, "llama.cpp could not be installed");
    const removed = await it_.cli<{ linksClosed: number }>("nodes", "remove", "forge");
    expect(removed.linksClosed).toBeGreaterThan(0);
    await expect(it_.client.chat.completions.create({ model: it_.model, messages: [] })).rejects.toMatchObject({
      status: 404,
    });
    expect(await it_.agent.exited).toBe(1);
  });
});
