import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../lib/clock.ts";
import { WorkerClient, type WorkerClientOptions } from "./worker-client.ts";

// A stand-in for the store's worker that does as it is told by the setting's name. Unlike the real one it has no database.
const PROGRAM = `
import { parentPort, threadId } from "node:worker_threads";
parentPort.on("message", (message) => {
  if (message.kind === "stop") return parentPort.close();
  const [what] = message.args;
  if (what === "crash") process.exit(3);
  if (what === "throw") throw new Error("a bug");
  if (what === "silence") return;
  if (what === "refuse") {
    const error = { code: "store_full", message: "full", hint: "make room", detail: { at: 1 } };
    return parentPort.postMessage({ kind: "refusal", id: message.id, error });
  }
  parentPort.postMessage({ kind: "answer", id: message.id, value: new Uint8Array([threadId]) });
});
parentPort.postMessage({ kind: "ready" });
`;

const clients: WorkerClient[] = [];

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.stop()));
});

function create(program: string, options: Partial<WorkerClientOptions> = {}): WorkerClient {
  const client = new WorkerClient({
    script: new URL(`data:text/javascript,${encodeURIComponent(program)}`),
    data: { role: "writer", path: "", busyTimeoutMs: 0 },
    clock: new ManualClock(),
    callTimeoutMs: 1_000,
    idleStopMs: null,
    ...options,
  });
  clients.push(client);
  return client;
}

async function thread(client: WorkerClient): Promise<number | undefined> {
  return (await client.call("settings.get", ["hello"]))?.[0];
}

describe("WorkerClient", () => {
  it("starts one thread for many first calls and keeps it", async () => {
    const client = create(PROGRAM);
    const threads = await Promise.all([thread(client), thread(client), thread(client)]);
    expect(new Set([...threads, await thread(client)]).size).toBe(1);
  });

  it("hands on a refusal with code, hint and detail", async () => {
    await expect(create(PROGRAM).call("settings.get", ["refuse"])).rejects.toMatchObject({
      code: "store_full",
      hint: "make room",
      detail: { at: 1 },
    });
  });

  it.each(["crash", "throw"])(
    "reports a %s to every call that waits, and the next call has a new thread",
    async (how) => {
      const client = create(PROGRAM);
      const before = await thread(client);
      const waiting = client.call("settings.get", ["silence"]);
      const crashing = client.call("settings.get", [how]);
      await expect(waiting).rejects.toMatchObject({ code: "store_failed" });
      await expect(crashing).rejects.toMatchObject({ code: "store_failed" });
      expect(await thread(client)).not.toBe(before);
    },
  );

  it("gives up on an answer after the time of a call", async () => {
    const clock = new ManualClock();
    const client = create(PROGRAM, { clock });
    await client.start();
    const call = client.call("settings.get", ["silence"]);
    await thread(client);
    clock.advance(1_000);
    await expect(call).rejects.toMatchObject({ code: "store_failed", message: expect.stringContaining("1 s") });
  });

  it("lets only so many calls wait, and stops by force when they do not end", async () => {
    const clock = new ManualClock();
    const client = create(PROGRAM, { clock, callTimeoutMs: 60_000 });
    await client.start();
    const waiting = Array.from({ length: 2_000 }, () => client.call("settings.get", ["silence"]));
    const ended = Promise.allSettled(waiting);
    await expect(thread(client)).rejects.toThrow("2000 calls");
    const stopping = client.stop();
    clock.advance(5_000);
    await stopping;
    expect((await ended).every(({ status }) => status === "rejected")).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it("says what kept the thread from starting, and tries again with the next call", async () => {
    const client = create("import 'node:nothing-of-the-kind';");
    await expect(client.start()).rejects.toMatchObject({ code: "store_failed" });
    await expect(thread(client)).rejects.toMatchObject({ code: "store_failed" });
    const failing = create(`
      import { parentPort } from "node:worker_threads";
      parentPort.postMessage({ kind: "failed", error: { code: "store_corrupt", message: "broken", detail: {} } });
    `);
    await expect(failing.start()).rejects.toMatchObject({ code: "store_corrupt", message: "broken" });
  });

  it("ends an idle thread and starts another when it is needed", async () => {
    const clock = new ManualClock();
    const client = create(PROGRAM, { clock, idleStopMs: 5_000 });
    const first = await thread(client);
    clock.advance(4_999);
    expect(await thread(client)).toBe(first);
    clock.advance(5_000);
    expect(await thread(client)).not.toBe(first);
  });

  it("refuses calls after stop, and stops twice", async () => {
    const client = create(PROGRAM);
    await client.start();
    await Promise.all([client.stop(), client.stop()]);
    await expect(thread(client)).rejects.toMatchObject({
      code: "store_failed",
      message: expect.stringContaining("closed"),
    });
  });
});
