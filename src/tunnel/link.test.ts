import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { makeCertificate } from "../../test/support/certificate.ts";
import { systemClock } from "../lib/clock.ts";
import type { Exchange } from "../lib/exchange.ts";
import { makeConnector, post, run, TestGateway } from "./__fixtures__/tunnel-pair.ts";
import type { Connector, ConnectorOptions } from "./connector.ts";
import { ANSWER_WINDOW_BYTES } from "./constants.ts";
import { type EngineProbeResult, probeEngine } from "./engine-probe.ts";
import type { Link } from "./link.ts";
import { type Attempt, type AttemptHandler, BodyBudget } from "./serve.ts";

let certificate: { key: string; cert: string };
beforeAll(() => {
  certificate = makeCertificate();
});

const cleanups: Array<() => Promise<unknown>> = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

/** A gateway and a connector over TLS (or another carrier), with one ready link. */
async function linked(
  onAttempt: AttemptHandler,
  options: { carrier?: "tls" | "plain" | "websocket"; connector?: Partial<ConnectorOptions> } = {},
): Promise<{ gateway: TestGateway; link: Link; connector: Connector }> {
  const { carrier = "tls" } = options;
  const gateway = await new TestGateway(carrier === "plain" ? {} : { tls: certificate }).listen();
  if (carrier === "websocket") gateway.blockUpgrade = (token) => token === "postern-link";
  const connector = makeConnector(gateway, onAttempt, options.connector);
  cleanups.push(
    () => gateway.stop(),
    () => connector.stop(),
  );
  connector.start();
  await gateway.when(() => gateway.ready.length === 1);
  return { gateway, connector, link: gateway.ready[0]! };
}

/** Answers with what it was asked. */
function echo(attempt: Attempt): void {
  attempt.collectBody((body) => {
    attempt.head(200, { "content-type": "text/plain" });
    attempt.write(body);
    attempt.end();
  });
}

test("an engine is asked through a link, and its part told apart; an agent that knows no such question says so", async () => {
  const asked: string[] = [];
  const knowing = await linked(echo, {
    connector: {
      onEngineProbe: async (engine) => {
        asked.push(engine);
        return engine === "ollama" ? { ok: true, ms: 1.25 } : null;
      },
    },
  });
  const ask = (link: Link, engine: string) =>
    new Promise<EngineProbeResult | null>((resolve) => probeEngine(link, engine, systemClock, resolve));
  const result = await ask(knowing.link, "ollama");
  expect(result?.engine).toEqual({ ok: true, ms: 1.3 });
  expect(result?.throughMs).toBeGreaterThan(0);
  expect((await ask(knowing.link, "gone"))?.engine).toBeNull();
  expect(asked).toEqual(["ollama", "gone"]);
  const older = await linked(echo);
  expect((await ask(older.link, "ollama"))?.engine).toBeNull();
  await older.gateway.stop();
  expect(await ask(older.link, "ollama")).toBeNull();
});

test("an agent hears which machine to wake", async () => {
  const heard = Promise.withResolvers<string>();
  const { gateway } = await linked(echo, { connector: { events: { onWake: heard.resolve } } });
  const [link] = gateway.links.all();
  expect(gateway.links.wake(link?.id.nodeId ?? "", "00:11:22:aa:bb:cc")).toBe(true);
  expect(await heard.promise).toBe("00:11:22:aa:bb:cc");
  expect(gateway.links.wake("nobody", "00:11:22:aa:bb:cc")).toBe(false);
});

describe.each(["tls", "plain", "websocket"] as const)("a link over %s", (carrier) => {
  test("carries a request and its answer, both ways whole", async () => {
    const seen: Attempt["request"][] = [];
    const { link } = await linked(
      (attempt) => {
        seen.push(attempt.request);
        echo(attempt);
      },
      { carrier },
    );
    const body = Buffer.alloc(700_001, "ab");
    const headers = {
      "content-type": "application/json",
      "postern-engine": "ollama",
      "postern-operation": "openai.chat",
      "postern-request": "r-1",
      "postern-deadline-ms": "1500",
    };
    const outcome = await run(link, post("/v1/chat/completions", body, headers));
    expect(outcome.failure).toBeNull();
    expect(outcome.status).toBe(200);
    expect(outcome.headers["content-type"]).toBe("text/plain");
    expect(Buffer.concat(outcome.chunks).equals(body)).toBe(true);
    expect(seen).toEqual([
      {
        method: "POST",
        path: "/v1/chat/completions",
        headers: { "content-type": "application/json" },
        engine: "ollama",
        operation: "openai.chat",
        requestId: "r-1",
        deadlineMs: 1500,
      },
    ]);
    expect(link.carrier).toBe(carrier === "websocket" ? "websocket" : "direct");
    expect(link.stats()).toMatchObject({ streamsActive: 0, streamsTotal: 1, bytesIn: 700_001, bytesOut: 700_001 });
    expect(await link.ping()).toBeGreaterThan(0);
  });

  test("delivers each chunk when it is written, not when the answer ends", async () => {
    const got = Promise.withResolvers<void>();
    let attempt: Attempt | undefined;
    const { link } = await linked(
      (one) => {
        attempt = one;
        one.head(200, {});
        one.write(Buffer.from("first"));
      },
      { carrier },
    );
    const outcome = run(link, post("/stream"), () => got.resolve());
    await got.promise;
    attempt!.write(Buffer.from(" second"));
    attempt!.end();
    expect(await outcome).toMatchObject({ body: "first second", failure: null });
  });

  test("ends at the gateway when the agent's process dies, with a failure for what ran", async () => {
    const { gateway, link } = await linked(
      (attempt) => {
        attempt.head(200, {});
        attempt.write(Buffer.from("half"));
      },
      { carrier },
    );
    const outcome = await run(link, post("/x"), () => {
      for (const socket of gateway.sockets) socket.destroy();
    });
    expect(outcome).toMatchObject({ body: "half", failure: { phase: "body", kind: "reset" } });
    expect(link.state).toBe("closed");
    expect(link.canAccept()).toBe(false);
    expect(await run(link, post("/y"))).toMatchObject({ failure: { phase: "connect", kind: "refused" } });
  });
});

describe("an answer", () => {
  test("with a content-length and all its bytes is complete", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(201, { "content-length": "4" });
      attempt.write(Buffer.from("done"));
      attempt.end();
    });
    expect(await run(link, post("/x"))).toMatchObject({ status: 201, body: "done", failure: null });
  });

  test("without a body is complete", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(204, {});
      attempt.end();
    });
    expect(await run(link, post("/x"))).toMatchObject({ status: 204, body: "", failure: null });
  });

  test("that ends short of its content-length is a failure", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(200, { "content-length": "10" });
      attempt.write(Buffer.from("done"));
      attempt.end();
    });
    expect(await run(link, post("/x"))).toMatchObject({ failure: { phase: "body", kind: "protocol" } });
  });

  test.each([
    ["cut", "cut"],
    ["timeout", "timeout"],
    ["protocol", "protocol"],
    ["reset", "reset"],
    ["denied", "denied"],
    ["refused", "refused"],
    ["unreachable", "reset"],
  ] as const)("that fails with %s after its head is a failure of kind %s, never a clean end", async (kind, seen) => {
    const { link } = await linked((attempt) => {
      attempt.head(200, {});
      attempt.write(Buffer.from("half"));
      setImmediate(() => attempt.fail(kind, "for the test"));
    });
    expect(await run(link, post("/x"))).toMatchObject({ failure: { phase: "body", kind: seen } });
  });

  test("that cannot be given says why: kind, phase and detail", async () => {
    const { link } = await linked((attempt) => attempt.fail("unreachable", "nothing listens on 11434", "connect"));
    expect(await run(link, post("/x"))).toEqual(
      expect.objectContaining({
        status: null,
        failure: { phase: "connect", kind: "unreachable", detail: "nothing listens on 11434" },
      }),
    );
  });

  test("from a handler that throws is a failure of that attempt only", async () => {
    const { link } = await linked((attempt) => {
      if (attempt.request.path === "/bad") throw new Error("bug");
      echo(attempt);
    });
    expect(await run(link, post("/bad"))).toMatchObject({ failure: { kind: "protocol" } });
    expect(await run(link, post("/good", "hi"))).toMatchObject({ body: "hi", failure: null });
  });

  test("with a head that HTTP does not allow is a failure of that attempt only", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(
        attempt.request.path === "/status" ? 99 : 200,
        attempt.request.path === "/header" ? { "x-a": "b\r\nset-cookie: c" } : {},
      );
      attempt.end();
    });
    expect(await run(link, post("/status"))).toMatchObject({ failure: { kind: "protocol" } });
    expect(await run(link, post("/header"))).toMatchObject({ failure: { kind: "protocol" } });
    expect(await run(link, post("/fine"))).toMatchObject({ failure: null });
  });
});

describe("a request body", () => {
  test("above the agent's limit is denied, one above its memory is refused, and the memory comes back", async () => {
    const { link } = await linked(echo, { connector: { budget: new BodyBudget(10_000, 12_000) } });
    expect(await run(link, post("/x", Buffer.alloc(10_001)))).toMatchObject({
      failure: { kind: "denied", phase: "connect" },
    });
    const both = await Promise.all([
      run(link, post("/x", Buffer.alloc(9000))),
      run(link, post("/x", Buffer.alloc(9000))),
    ]);
    expect(both.filter((outcome) => outcome.failure === null).length).toBeGreaterThanOrEqual(1);
    for (let n = 0; n < 5; n++)
      expect(await run(link, post("/x", Buffer.alloc(9000)))).toMatchObject({ failure: null });
  });
});

describe("cancelling", () => {
  test("reaches the agent at once and no callback follows", async () => {
    const cancelled = Promise.withResolvers<void>();
    const { link } = await linked((attempt) => {
      attempt.worker = { onCancel: cancelled.resolve, onResume() {} };
      attempt.head(200, {});
      attempt.write(Buffer.from("x"));
    });
    const calls: string[] = [];
    const exchange = await new Promise<Exchange>((resolve) => {
      const started = link.start(post("/x"), {
        onHead: () => calls.push("head"),
        onData: () => resolve(started),
        onEnd: () => calls.push("end"),
        onFailure: () => calls.push("failure"),
      });
    });
    exchange.cancel("caller_left");
    exchange.cancel("caller_left");
    await cancelled.promise;
    expect(calls).toEqual(["head"]);
    expect(link.stats().streamsActive).toBe(0);
  });

  test("before the request left reaches nobody and harms nothing", async () => {
    const { link } = await linked(echo);
    const failures: unknown[] = [];
    link
      .start(post("/x"), { onHead() {}, onData() {}, onEnd() {}, onFailure: (failure) => failures.push(failure) })
      .cancel("caller_left");
    expect(await run(link, post("/y", "after"))).toMatchObject({ body: "after" });
    expect(failures).toEqual([]);
  });

  // nghttp2's rapid-reset limiter (burst 1,000) ended the whole link when it was one of HTTP/2.
  test("1,400 streams in one burst leaves an innocent stream alive", async () => {
    let innocent: Attempt | undefined;
    let cancelled = 0;
    const all = Promise.withResolvers<void>();
    const { link } = await linked(
      (attempt) => {
        if (attempt.request.path === "/innocent") innocent = attempt;
        attempt.head(200, {});
        attempt.write(Buffer.from("x"));
        attempt.worker = {
          onCancel() {
            cancelled += 1;
            if (cancelled === 1400) all.resolve();
          },
          onResume() {},
        };
      },
      { connector: { capacity: 2000 } },
    );
    const outcome = run(link, post("/innocent"));
    const exchanges: Exchange[] = [];
    await new Promise<void>((resolve) => {
      let heads = 0;
      const onHead = () => {
        heads += 1;
        if (heads === 1400) resolve();
      };
      for (let n = 0; n < 1400; n++) {
        exchanges.push(link.start(post(`/${n}`), { onHead, onData() {}, onEnd() {}, onFailure() {} }));
      }
    });
    for (const exchange of exchanges) exchange.cancel("caller_left");
    await all.promise;
    innocent!.write(Buffer.from("y"));
    innocent!.end();
    expect(await outcome).toMatchObject({ body: "xy", failure: null });
    expect(link.state).toBe("ready");
  });
});

describe("back-pressure", () => {
  test("a paused exchange stops the agent within the stream window, and its siblings run on", async () => {
    let writtenBytes = 0;
    const full = Promise.withResolvers<void>();
    const { link } = await linked((attempt) => {
      if (attempt.request.path === "/fast") return echo(attempt);
      attempt.head(200, {});
      const chunk = Buffer.alloc(16 * 1024);
      const pump = () => {
        while (writtenBytes < 64 * 1024 * 1024) {
          writtenBytes += chunk.length;
          if (!attempt.write(chunk)) return full.resolve();
        }
        attempt.end();
      };
      attempt.worker = { onCancel() {}, onResume: pump };
      pump();
    });
    let received = 0;
    const slow = await new Promise<{ exchange: Exchange; ended: Promise<void> }>((resolve) => {
      const ended = Promise.withResolvers<void>();
      const exchange = link.start(post("/slow"), {
        onHead: () => {
          exchange.pause();
          resolve({ exchange, ended: ended.promise });
        },
        onData: (chunk) => {
          received += chunk.length;
        },
        onEnd: () => ended.resolve(),
        onFailure: (failure) => ended.reject(new Error(failure.detail)),
      });
    });
    await full.promise;
    for (let n = 0; n < 20; n++)
      expect(await run(link, post("/fast", "hi"))).toMatchObject({ body: "hi", failure: null });
    expect(received).toBe(0);
    expect(writtenBytes).toBeLessThan(ANSWER_WINDOW_BYTES * 3);
    slow.exchange.resume();
    await slow.ended;
    expect(received).toBe(64 * 1024 * 1024);
  });

  // Node's HTTP/2 with its default `maxSessionMemory` of 10 MB destroyed the session here (tunnels.md §6.3).
  test("400 slow readers of 160 KB each are all served in the end", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(200, {});
      attempt.write(Buffer.alloc(160 * 1024, "a"));
      attempt.end();
    });
    const exchanges: Exchange[] = [];
    const heads = Promise.withResolvers<void>();
    let headCount = 0;
    const outcomes = Array.from(
      { length: 400 },
      (_, n) =>
        new Promise<number>((resolve, reject) => {
          let bytes = 0;
          const exchange = link.start(post(`/${n}`), {
            onHead: () => {
              exchange.pause();
              headCount += 1;
              if (headCount === 400) heads.resolve();
            },
            onData: (chunk) => {
              bytes += chunk.length;
            },
            onEnd: () => resolve(bytes),
            onFailure: (failure) => reject(new Error(failure.detail)),
          });
          exchanges.push(exchange);
        }),
    );
    await heads.promise;
    await link.ping();
    for (const exchange of exchanges) exchange.resume();
    expect(await Promise.all(outcomes)).toEqual(Array.from({ length: 400 }, () => 160 * 1024));
  });

  test("pausing and resuming before the head changes nothing", async () => {
    const { link } = await linked(echo);
    const outcome = await new Promise((resolve) => {
      let body = "";
      const exchange = link.start(post("/x", "hello"), {
        onHead() {},
        onData: (chunk) => {
          body += chunk.toString();
        },
        onEnd: () => resolve(body),
        onFailure: resolve,
      });
      exchange.pause();
      exchange.resume();
    });
    expect(outcome).toBe("hello");
  });
});

describe("capacity", () => {
  test("is what the agent said: beyond it attempts are refused before they are sent", async () => {
    const waiting: Attempt[] = [];
    const arrived = Promise.withResolvers<void>();
    const { link } = await linked(
      (attempt) => {
        waiting.push(attempt);
        if (waiting.length === 3) arrived.resolve();
      },
      { connector: { capacity: 3 } },
    );
    const running = [1, 2, 3].map((n) => run(link, post(`/${n}`)));
    expect(link.canAccept()).toBe(false);
    expect(await run(link, post("/4"))).toMatchObject({ failure: { phase: "connect", kind: "refused" } });
    await arrived.promise;
    for (const attempt of waiting) echo(attempt);
    for (const outcome of await Promise.all(running)) expect(outcome.failure).toBeNull();
    expect(link.canAccept()).toBe(true);
  });
});

describe("draining", () => {
  test("by the gateway lets running attempts finish, takes no new ones, and the agent has a new link before", async () => {
    let attempt: Attempt | undefined;
    const started = Promise.withResolvers<void>();
    const { gateway, link } = await linked((one) => {
      if (one.request.path !== "/long") return echo(one);
      attempt = one;
      one.head(200, {});
      one.write(Buffer.from("begin"));
    });
    const outcome = run(link, post("/long"), () => started.resolve());
    await started.promise;
    const drained = link.drain();
    expect(link.canAccept()).toBe(false);
    await gateway.when(() => gateway.ready.length === 2);
    expect(link.state).toBe("draining");
    expect(await run(gateway.links.pick("node-1")!, post("/x", "new"))).toMatchObject({ body: "new" });
    attempt!.write(Buffer.from(" end"));
    attempt!.end();
    expect(await outcome).toMatchObject({ body: "begin end", failure: null });
    await drained;
    expect(gateway.closed).toMatchObject([{ reason: "drained" }]);
  });

  test("by the agent lets running attempts finish and ends the link", async () => {
    let attempt: Attempt | undefined;
    const started = Promise.withResolvers<void>();
    const { gateway, link, connector } = await linked((one) => {
      attempt = one;
      one.head(200, {});
      one.write(Buffer.from("begin"));
    });
    const outcome = run(link, post("/long"), () => started.resolve());
    await started.promise;
    const drained = connector.drain();
    expect(connector.state.name).toBe("draining");
    await gateway.when(() => link.state === "draining");
    expect(gateway.links.pick("node-1")).toBeNull();
    attempt!.end();
    expect(await outcome).toMatchObject({ body: "begin", failure: null });
    await drained;
    expect(connector.state.name).toBe("stopped");
    expect(gateway.links.all()).toEqual([]);
  });

  test("that takes too long ends with a failure for what still ran", async () => {
    const { link } = await linked((attempt) => {
      attempt.head(200, {});
      attempt.write(Buffer.from("begin"));
    });
    const started = Promise.withResolvers<void>();
    const outcome = run(link, post("/long"), () => started.resolve());
    await started.promise;
    await link.drain(1);
    expect(await outcome).toMatchObject({ failure: { phase: "body", kind: "reset" } });
  });
});

describe("closing", () => {
  test("for a removed node ends its streams and stops its agent for good", async () => {
    const { gateway, link, connector } = await linked((attempt) => {
      attempt.head(200, {});
      attempt.write(Buffer.from("begin"));
    });
    const removed = Promise.withResolvers<void>();
    const outcome = run(link, post("/x"), () => removed.resolve(gateway.links.removeNode("node-1")));
    await removed.promise;
    expect(await outcome).toMatchObject({ failure: { phase: "body", kind: "reset" } });
    expect(link.state).toBe("closed");
    await expect.poll(() => connector.state.name).toBe("failed");
    expect(connector.state).toMatchObject({ error: { code: "connector_refused" } });
  });

  test("makes a pending ping reject", async () => {
    const { link } = await linked(echo);
    const ping = link.ping();
    const closed = link.close("shutdown");
    await expect(ping).rejects.toThrow("Cannot ping");
    await closed;
  });
});

// A head that is still being written must not be overtaken by frames.
test("the roles flip only when the 101 has been written", async () => {
  const gateway = await new TestGateway().listen();
  cleanups.push(() => gateway.stop());
  const written = Promise.withResolvers<() => void>();
  const { onUpgrade } = gateway;
  gateway.onUpgrade = (request, socket, head) => {
    const write = socket.write.bind(socket);
    socket.write = ((chunk: string, done: (error?: Error | null) => void) =>
      write(chunk, (error) => written.resolve(() => done(error)))) as typeof socket.write;
    onUpgrade(request, socket, head);
  };
  const connector = makeConnector(gateway, echo);
  cleanups.push(() => connector.stop());
  connector.start();
  const goOn = await written.promise;
  expect(gateway.links.all()).toEqual([]);
  goOn();
  await gateway.when(() => gateway.ready.length === 1);
});

// nodejs/node#64850: an HTTP/2 session destroyed inside its own stream event aborted the process.
test("an agent that stops inside an attempt ends cleanly", async () => {
  const stopped = Promise.withResolvers<void>();
  let connector: Connector | undefined;
  const made = await linked((attempt) => {
    attempt.head(200, {});
    stopped.resolve(connector?.stop());
  });
  connector = made.connector;
  expect(await run(made.link, post("/x"))).toMatchObject({ failure: { kind: "reset" } });
  await stopped.promise;
});

test("throughput is not held down to 64 KB per round trip", async () => {
  // With HTTP/2's 64 KB windows at least 1,024 round trips would be needed.
  const { link } = await linked((attempt) => {
    attempt.head(200, {});
    let left = 1024;
    const chunk = Buffer.alloc(64 * 1024);
    const pump = () => {
      while (left > 0) {
        left -= 1;
        if (!attempt.write(chunk)) return;
      }
      attempt.end();
    };
    attempt.worker = { onCancel() {}, onResume: pump };
    pump();
  });
  const bytes = (await run(link, post("/x"))).chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  expect(bytes).toBe(64 * 1024 * 1024);
});
