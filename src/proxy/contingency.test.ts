import { afterEach, describe, expect, test } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { PlayedTarget } from "../../test/support/played-target.ts";
import type { RawConnection } from "../../test/support/raw-connection.ts";

const MINUTE = 60_000;

let plane: DataPlane;
/** A key to which all sides are the same. */
let open: string;
afterEach(() => plane.close());

/** A model on one node and at one provider. */
async function setUp(): Promise<{ node: PlayedTarget; cloud: PlayedTarget }> {
  plane = await startDataPlane();
  open = plane.addKey(null, { prefer: "none" }).key;
  const [node, cloud] = plane.serve("gpt", "forge", "provider/openai");
  if (node === undefined || cloud === undefined) throw new Error("no targets");
  // As long as it is free, the provider is the one that is asked.
  node.inFlight = 5;
  return { node, cloud };
}

async function skipProviders(workflow: string | null = null, forMs: number | null = null): Promise<void> {
  await plane.contingency.change(
    (state, at) => state.on({ workflow, reason: "announced outage", by: "ada", forMs }, at),
    async () => {},
  );
}

function ask(key = open, headers = ""): RawConnection {
  return plane.raw(chatRequest(key, chatBody("gpt"), headers));
}

async function answeredBy(target: PlayedTarget, caller = ask()): Promise<string> {
  (await target.next()).answer(200, chatAnswer());
  await caller.until("chat.completion");
  caller.socket.destroy();
  return caller.text;
}

async function refusal(caller = ask()): Promise<string> {
  await caller.until("\r\n\r\n");
  caller.socket.destroy();
  return caller.text;
}

describe("in contingency", () => {
  test("nodes serve in the place of providers, and the caller is told", async () => {
    const { node, cloud } = await setUp();
    expect(await answeredBy(cloud)).not.toContain("X-Postern-Fallback");
    await skipProviders();
    expect(await answeredBy(node)).toContain("X-Postern-Fallback: contingency");
    expect(cloud.attempts).toHaveLength(1);
  });

  test("every request is on the record as one of it, whatever it would have been without", async () => {
    const { node, cloud } = await setUp();
    const audit = plane.addKey(null, { workflow: "audit", prefer: "local" });
    await answeredBy(cloud);
    await skipProviders();
    await answeredBy(node);
    await answeredBy(node, ask(audit.key));
    expect(plane.closed.map(({ contingency, fallback }) => [contingency, fallback])).toEqual([
      [null, null],
      ["command", "contingency"],
      ["command", null],
    ]);
    expect(plane.opened.map(({ workflow, contingency }) => [workflow, contingency])).toEqual([
      [null, null],
      [null, "command"],
      ["audit", "command"],
    ]);
  });

  // E9: the client of S3 tried the cloud when local-only had failed.
  test("a request that no node can serve gets an honest error and never a provider", async () => {
    const { node, cloud } = await setUp();
    await skipProviders();
    node.isAccepting = false;
    const text = await refusal();
    expect(text).toContain("HTTP/1.1 503");
    expect(text).toContain("x-postern-error: contingency");
    expect(text).toContain("retry-after: 60");
    expect(cloud.attempts).toHaveLength(0);
  });

  test("a model that only a provider has is refused, in the caller's dialect", async () => {
    await setUp();
    plane.serve("claude", "provider/anthropic");
    await skipProviders();
    const body = JSON.stringify({ ...chatBody("claude"), max_tokens: 10 });
    const caller = plane.raw(
      `POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nx-api-key: ${plane.key}\r\nanthropic-version: 2023-06-01\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    );
    const text = await refusal(caller);
    expect(text).toContain('"type":"overloaded_error"');
    expect(text).toContain("x-postern-error: contingency");
  });

  test("a node's failure does not fall through to a provider", async () => {
    const { node, cloud } = await setUp();
    await skipProviders();
    const caller = ask();
    (await node.next()).handler.onFailure({ kind: "unreachable", phase: "connect", detail: "refused" });
    expect(await refusal(caller)).toMatch(/HTTP\/1\.1 50\d/);
    expect(cloud.attempts).toHaveLength(0);
  });

  // A plan that was made before has the provider in it; nothing may begin there once contingency is on.
  test("that comes while a node is asked, the provider that stood next is not asked any more", async () => {
    const { node, cloud } = await setUp();
    const key = plane.addKey(null, { prefer: "local" });
    const caller = ask(key.key);
    const attempt = await node.next();
    await skipProviders();
    attempt.handler.onFailure({ kind: "unreachable", phase: "connect", detail: "refused" });
    expect(await refusal(caller)).toMatch(/HTTP\/1\.1 50\d/);
    expect(cloud.attempts).toHaveLength(0);
  });

  test("that comes while a provider is to be asked again, it is not, and the caller is told why", async () => {
    const { node, cloud } = await setUp();
    node.isAccepting = false;
    const caller = ask();
    (await cloud.next()).answer(500, { error: { message: "boom" } });
    await skipProviders();
    plane.clock.advance(10_000);
    expect(await refusal(caller)).toContain("x-postern-error: contingency");
    expect(cloud.attempts).toHaveLength(1);
  });

  test("that comes while a provider is to be asked again, a node that stands behind it is asked instead", async () => {
    const { node, cloud } = await setUp();
    const caller = ask();
    const attempt = await cloud.next();
    attempt.answer(500, { error: { message: "boom" } });
    await skipProviders();
    plane.clock.advance(10_000);
    (await node.next()).answer(200, chatAnswer());
    await caller.until("chat.completion");
    caller.socket.destroy();
    expect(cloud.attempts).toHaveLength(1);
  });

  test("what a provider has begun to answer goes on to its end", async () => {
    const { cloud } = await setUp();
    const caller = ask();
    const attempt = await cloud.next();
    await skipProviders();
    attempt.answer(200, chatAnswer());
    await caller.until("chat.completion");
    expect(caller.text).toContain("X-Postern-Served-By: provider/openai");
    caller.socket.destroy();
  });

  test("a model that an engine hands on to its own cloud counts as a provider's", async () => {
    await setUp();
    const [local, handedOn] = plane.serve("big", "forge", "attic");
    if (local === undefined || handedOn === undefined) throw new Error("no targets");
    handedOn.leaves = true;
    local.inFlight = 5;
    await skipProviders();
    const caller = plane.raw(chatRequest(plane.key, chatBody("big")));
    expect(await answeredBy(local, caller)).toContain("X-Postern-Served-By: node/forge");
  });

  test("of one workflow, only its keys are kept away from providers", async () => {
    const { node, cloud } = await setUp();
    const audit = plane.addKey(null, { workflow: "audit", prefer: "none" });
    await skipProviders("audit");
    expect(await answeredBy(node, ask(audit.key))).toContain("X-Postern-Fallback: contingency");
    expect(await answeredBy(cloud)).toContain("X-Postern-Served-By: provider/openai");
  });

  test("a key that prefers its own machines is not told of a fallback", async () => {
    const { node } = await setUp();
    const key = plane.addKey(null, { prefer: "local" });
    await skipProviders();
    expect(await answeredBy(node, ask(key.key))).not.toContain("X-Postern-Fallback");
  });

  test("a local-only request is as it always is", async () => {
    const { node, cloud } = await setUp();
    await skipProviders();
    expect(await answeredBy(node, ask(plane.key, "X-Postern-Policy: local-only\r\n"))).not.toContain("Fallback");
    node.isAccepting = false;
    const text = await refusal(ask(plane.key, "X-Postern-Policy: local-only\r\n"));
    expect(text).toContain("x-postern-error: no_target");
    expect(cloud.attempts).toHaveLength(0);
  });
});

describe("after contingency", () => {
  test("providers come behind nodes for most requests at first, and serve where no node can", async () => {
    const { node, cloud } = await setUp();
    await skipProviders(null, MINUTE);
    plane.clock.advance(MINUTE);
    expect(await answeredBy(node)).toContain("X-Postern-Fallback: contingency");
    node.isAccepting = false;
    expect(await answeredBy(cloud)).toContain("X-Postern-Fallback: nodes_away");
    expect(plane.closed.map(({ contingency, fallback }) => [contingency, fallback])).toEqual([
      ["command", "contingency"],
      [null, "nodes_away"],
    ]);
    node.isAccepting = true;
    plane.clock.advance(10 * MINUTE);
    expect(await answeredBy(cloud)).not.toContain("X-Postern-Fallback");
  });
});

test("a provider that serves because every node is away says so", async () => {
  const { node, cloud } = await setUp();
  expect(await answeredBy(cloud)).not.toContain("X-Postern-Fallback");
  node.isAccepting = false;
  expect(await answeredBy(cloud)).toContain("X-Postern-Fallback: nodes_away");
  expect(plane.failovers).toEqual(["nodes > provider/openai: nodes_away"]);
});
