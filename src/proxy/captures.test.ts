import { afterEach, describe, expect, test } from "vitest";
import { chatAnswer, chatBody, chatRequest } from "../../test/support/chat.ts";
import { type DataPlane, startDataPlane } from "../../test/support/data-plane.ts";
import type { KeyPolicy } from "../access/policy.ts";
import type { Capture } from "../storage/store.ts";
import { type CaptureResult, Captures, MAX_CAPTURE_MEMORY_BYTES, MAX_WAITING_CAPTURES } from "./captures.ts";

const HOUR_MS = 3_600_000;
const CONFIG = { maxRetentionMs: 48 * HOUR_MS, itemBytes: 1024, totalBytes: 1024 ** 3 };
const BOTH = { requests: true, answers: true, retentionHours: 24 } as const;
const ABOUT = { id: "r", keyId: "k", operation: "openai.chat", model: "m" };

let plane: DataPlane | undefined;
afterEach(() => plane?.close());

function setUp(write: (capture: Capture) => Promise<boolean> = async () => true) {
  const written: Capture[] = [];
  const results: CaptureResult[] = [];
  const captures = new Captures({
    config: CONFIG,
    async write(capture) {
      written.push(capture);
      return write(capture);
    },
    onResult: (result) => results.push(result),
  });
  return { captures, written, results };
}

async function startPlane(capture: KeyPolicy["capture"]) {
  const made = setUp();
  plane = await startDataPlane({ captures: made.captures });
  const { key, id } = plane.addKey(null, capture === undefined ? {} : { capture });
  const { captures, written, results } = made;
  return { captures, written, results, plane, key, id };
}

describe("what is captured", () => {
  test("of a stream is the body as it came and the bytes as they went out, when it is over", async () => {
    const { plane, key, id, captures, written, results } = await startPlane(BOTH);
    const [target] = plane.serve("m", "lab");
    const body = chatBody("m", { stream: true, user: "ada" });
    const connection = plane.raw(chatRequest(key, body));
    const attempt = await target?.next();
    attempt?.streamHead();
    attempt?.token("secret words");
    await connection.until("secret words");
    expect(written).toEqual([]);
    attempt?.finish();
    await connection.until("[DONE]");
    await captures.settled();
    expect(connection.received.toString()).toContain("X-Postern-Capture: requests, answers");
    const [capture] = written;
    expect(capture).toMatchObject({ keyId: id, operation: "openai.chat", model: "m", id: plane.opened[0]?.id });
    expect(capture?.request?.kept.toString()).toBe(typeof body === "string" ? body : JSON.stringify(body));
    expect(capture?.answer?.kept.toString()).toMatch(/^data: .*secret words[\s\S]*data: \[DONE\]\n\n$/);
    expect(capture?.answer?.isCut).toBe(false);
    expect((capture?.expiresAtMs ?? 0) - (capture?.capturedAtMs ?? 0)).toBe(24 * HOUR_MS);
    expect(results).toEqual(["kept"]);
    expect(captures.heldBytes).toBe(0);
  });

  test("of a caller that leaves is what it got until then", async () => {
    const { plane, key, captures, written } = await startPlane(BOTH);
    const [target] = plane.serve("m", "lab");
    const connection = plane.raw(chatRequest(key, chatBody("m", { stream: true })));
    const attempt = await target?.next();
    attempt?.streamHead();
    attempt?.token("half an ans");
    await connection.until("half an ans");
    connection.socket.destroy();
    await attempt?.whenCancelled;
    await captures.settled();
    expect(written[0]?.answer?.kept.toString()).toContain("half an ans");
    expect(captures.heldBytes).toBe(0);
  });

  test.each([
    ["nothing for a key without the word", undefined, null],
    ["only the request where the policy says so", { requests: true, retentionHours: 1 }, "requests"],
    ["only the answer where the policy says so", { answers: true, retentionHours: 1 }, "answers"],
  ] as const)("is %s", async (_what, words, kinds) => {
    const { plane, key, captures, written } = await startPlane(words);
    const [target] = plane.serve("m", "lab");
    const connection = plane.raw(chatRequest(key, chatBody("m")));
    (await target?.next())?.answer(200, chatAnswer("whole"));
    await connection.until("whole");
    await captures.settled();
    expect(connection.received.toString().includes("X-Postern-Capture")).toBe(kinds !== null);
    expect(written.length).toBe(kinds === null ? 0 : 1);
    if (kinds === null) return;
    expect([written[0]?.request === null, written[0]?.answer === null]).toEqual([
      kinds === "answers",
      kinds === "requests",
    ]);
    if (kinds === "answers") expect(written[0]?.answer?.kept.toString()).toContain("whole");
  });

  test("is nothing of a request that was refused before it went out", async () => {
    const { plane, key, captures, written } = await startPlane(BOTH);
    const [target] = plane.serve("m", "lab");
    if (target !== undefined) target.isAccepting = false;
    const connection = plane.raw(chatRequest(key, chatBody("m")));
    await connection.until("HTTP/1.1 5");
    await captures.settled();
    expect(written).toEqual([]);
    expect(captures.heldBytes).toBe(0);
  });
});

describe("Captures", () => {
  test("keeps the beginning of what is larger than an item, and says so", async () => {
    const { captures, written } = setUp();
    const capture = captures.begin(BOTH);
    capture?.request(Buffer.alloc(5000, "a"));
    capture?.answer(Buffer.alloc(1000, "b"));
    capture?.answer(Buffer.alloc(1000, "c"));
    capture?.finish(ABOUT, 0);
    await captures.settled();
    expect(written[0]?.request).toMatchObject({ bytes: 5000, isCut: true });
    expect(written[0]?.request?.kept.length).toBe(1024);
    expect(written[0]?.answer?.kept.toString()).toBe(`${"b".repeat(1000)}${"c".repeat(24)}`);
  });

  test("keeps nothing longer than the configuration says, whatever the key's policy", async () => {
    const { captures, written } = setUp();
    captures.begin({ ...BOTH, retentionHours: 2000 })?.finish(ABOUT, 5);
    await captures.settled();
    expect(written[0]?.expiresAtMs).toBe(5 + 48 * HOUR_MS);
  });

  test("drops what finds no memory, counts it, and gives everything back", async () => {
    const { captures, written, results } = setUp();
    expect(captures.hold(MAX_CAPTURE_MEMORY_BYTES - 10)).toBe(true);
    const capture = captures.begin(BOTH);
    capture?.request(Buffer.from("123456"));
    capture?.answer(Buffer.from("123456"));
    capture?.finish(ABOUT, 0);
    await captures.settled();
    expect([written, results]).toEqual([[], ["dropped"]]);
    expect(captures.heldBytes).toBe(MAX_CAPTURE_MEMORY_BYTES - 10);
  });

  test("drops what finds no place while the disk is slow, and counts it", async () => {
    let open = () => {};
    const isOpen = new Promise<void>((resolve) => {
      open = resolve;
    });
    const { captures, results } = setUp(() => isOpen.then(() => true));
    for (let at = 0; at < MAX_WAITING_CAPTURES + 3; at += 1) {
      const capture = captures.begin(BOTH);
      capture?.request(Buffer.from("x"));
      capture?.finish(ABOUT, 0);
    }
    // One is being written, the others wait.
    expect(results).toEqual(["dropped", "dropped"]);
    open();
    await captures.settled();
    expect(results.filter((one) => one === "kept")).toHaveLength(MAX_WAITING_CAPTURES + 1);
    expect(captures.heldBytes).toBe(0);
  });

  test("goes on after a disk that said no", async () => {
    let isFull = true;
    const { captures, results } = setUp(async () => {
      if (isFull) throw new Error("ENOSPC");
      return true;
    });
    captures.begin(BOTH)?.finish(ABOUT, 0);
    await captures.settled();
    isFull = false;
    captures.begin(BOTH)?.finish(ABOUT, 0);
    await captures.settled();
    expect(results).toEqual(["failed", "kept"]);
  });
});
