import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  eachReplaced,
  misfits,
  ODD_NUMBERS,
  POISON,
  RICH_BODIES,
  unreadableBodies,
} from "../../test/support/hostile-bodies.ts";
import { LARGE_OPERATIONS, largeBodies } from "../../test/support/large-bodies.ts";
import { longestTurnMs, TURN_BOUND_MS } from "../../test/support/longest-turn.ts";
import { createCodecs } from "../dialects/codecs.ts";
import { DEFAULT_FIELD_POLICY } from "../dialects/field-policy.ts";
import { operationById } from "../dialects/operations.ts";
import { MAX_TOOLS } from "../dialects/request-member.ts";
import { answerFrom, type FakeEngine, startFakeEngine } from "../engines/__fixtures__/fake-engine.ts";
import { systemClock } from "../lib/clock.ts";
import type { ExchangeFailure, ExchangeRequest } from "../lib/exchange.ts";
import { DEFAULT_SCAN_LIMITS, scanBody } from "../lib/json-scan.ts";
import { BODY_LIMIT_BYTES } from "../tunnel/constants.ts";
import { type Admitted, Guard, isFailure } from "./guard.ts";
import { WatchedEngine } from "./watched-engine.ts";

// A gateway that was taken over sends whatever it likes. The guard denies it or builds a request that its tables allow: it
// never throws, and what it denies says nothing of the body.

let fake: FakeEngine;
let engine: WatchedEngine;
let guard: Guard;

beforeAll(async () => {
  fake = await startFakeEngine(answerFrom({ "/v1/models": { data: [{ id: "m", owned_by: "x" }] } }));
  const settings = {
    name: "e",
    url: fake.url,
    kind: "openai" as const,
    apiKey: null,
    host: null,
    caFile: null,
    serverName: null,
    exposureAccepted: false,
  };
  engine = new WatchedEngine(settings, systemClock);
  await engine.read();
  guard = new Guard({
    findEngine: () => engine,
    remoteModels: new Set(),
    codecs: createCodecs(DEFAULT_FIELD_POLICY),
  });
});

afterAll(async () => {
  await engine.stop();
  await fake.close();
});

const CODECS = createCodecs(DEFAULT_FIELD_POLICY);

/** As if the engine spoke every operation. */
function admitted(id: string): Admitted {
  const operation = operationById(id);
  const codec = CODECS.get(id);
  if (operation === undefined || codec === undefined) throw new Error(`no operation ${id}`);
  return { engine, operation, codec };
}

function inspect(id: string, body: string | Buffer): ExchangeRequest | ExchangeFailure {
  return guard.inspect(admitted(id), Buffer.from(body as string));
}

describe.each(Object.keys(RICH_BODIES))("a body of %s", (id) => {
  const valid = RICH_BODIES[id] ?? {};

  test("that is sound passes, on the operation's own path", () => {
    const request = inspect(id, JSON.stringify(valid));
    expect(request).toMatchObject({ method: "POST", path: operationById(id)?.path });
  });

  test("that nobody may read is denied, without a word of it", () => {
    for (const [name, bytes] of unreadableBodies(valid)) {
      const outcome = inspect(id, bytes);
      expect([name, outcome]).toEqual([name, { phase: "connect", kind: "denied", detail: expect.any(String) }]);
      expect([name, (outcome as ExchangeFailure).detail.length < 200]).toEqual([name, true]);
      expect([name, (outcome as ExchangeFailure).detail.startsWith("internal")]).toEqual([name, false]);
    }
  });

  test("with members of every object's parent loses them", () => {
    const request = inspect(id, `${JSON.stringify(valid).slice(0, -1)},${POISON}}`);
    expect(({} as Record<string, unknown>)["isPoisoned"]).toBeUndefined();
    if (!isFailure(request)) expect(String(request.body)).not.toContain("isPoisoned");
  });

  test("keeps odd numbers as they are written, or is denied for a bound that they exceed", () => {
    for (const number of ODD_NUMBERS) {
      for (const text of eachReplaced(valid, number)) {
        const request = inspect(id, text);
        if (!isFailure(request) && String(request.body).includes(number)) continue;
        // Gone with a member that no table lists, or brought down to a bound.
        if (isFailure(request)) expect(request.detail).not.toMatch(/^internal/);
        else expect(JSON.parse(String(request.body))).toMatchObject({ model: "m" });
      }
    }
  });

  test("is judged whatever stands where, and what passes is read by every parser alike", () => {
    fc.assert(
      fc.property(misfits(valid), (text) => {
        const request = inspect(id, text);
        if (isFailure(request)) expect(request.detail).not.toMatch(/^internal/);
        else expect(JSON.parse(String(request.body))).toHaveProperty("model", "m");
      }),
      { numRuns: 300 },
    );
    for (const text of eachReplaced(valid, "null")) {
      const request = inspect(id, text);
      if (isFailure(request)) expect(request.detail).not.toMatch(/^internal/);
    }
  });
});

describe("Guard.inspectInTurns()", () => {
  test("comes to the same as inspect(), for small bodies at once", async () => {
    for (const [id, valid] of Object.entries(RICH_BODIES)) {
      for (const body of [JSON.stringify(valid), "{", '{"model":"other"}']) {
        let outcome: unknown = null;
        guard.inspectInTurns(admitted(id), Buffer.from(body), (told) => {
          outcome = told;
        });
        expect(outcome).toEqual(inspect(id, body));
      }
    }
  });

  // One turn that looked at 66,000 blocks took up to 180 ms.
  test("looks at many messages or parts in several turns, and comes to the same", () => {
    const many = (part: (index: number) => object) => Array.from({ length: 20_000 }, (_, index) => part(index));
    const image = {
      url: null,
      type: "image",
      source: { type: "base64", media_type: "image/png", data: "iVBORw0KGgo=" },
    };
    const remote = { type: "image", source: { type: "url", url: "http://10.0.0.1/" } };
    const picture = (url: string) => ({ type: "image_url", image_url: { url } });
    const item = (url: string) => ({ role: "user", content: [{ type: "input_image", image_url: url }] });
    const bodies: [id: string, body: object, isFine: boolean][] = [
      ["anthropic.messages", { messages: [{ role: "user", content: many(() => image) }] }, true],
      [
        "anthropic.messages",
        { messages: many((at) => ({ role: "user", content: [at === 19_000 ? remote : image] })) },
        false,
      ],
      ["openai.chat", { messages: [{ role: "user", content: many(() => picture("data:,")) }] }, true],
      ["openai.chat", { messages: many(() => ({ role: "user", content: [picture("http://10.0.0.1/")] })) }, false],
      ["openai.responses", { input: many(() => item("data:,")) }, true],
      ["openai.responses", { input: many((at) => item(at === 19_000 ? "file:///x" : "data:,")) }, false],
    ];
    for (const [id, body, isFine] of bodies) {
      const bytes = Buffer.from(JSON.stringify({ model: "m", ...body }));
      const codec = CODECS.get(id)!;
      const pieces = codec.inspectInPieces!(scanBody(bytes));
      const run = (): number => {
        for (let turns = 1; ; turns++) if (pieces.next().done === true) return turns;
      };
      if (isFine) expect([id, run()]).toEqual([id, expect.toSatisfy((turns: number) => turns > 3)]);
      else expect(run).toThrow("Media are not fetched");
      expect([id, isFailure(guard.inspect(admitted(id), bytes))]).toEqual([id, !isFine]);
    }
  });

  test("looks at no more tools than any agent has", () => {
    const tools = (count: number) =>
      Array.from({ length: count }, () => ({ type: "function", name: "f", input_schema: {} }));
    const messages = [{ role: "user", content: "x" }];
    for (const [id, body] of [
      ["anthropic.messages", { model: "m", messages }],
      ["openai.responses", { model: "m", input: "x" }],
    ] as const) {
      expect(isFailure(inspect(id, JSON.stringify({ ...body, tools: tools(MAX_TOOLS) })))).toBe(false);
      expect(inspect(id, JSON.stringify({ ...body, tools: tools(MAX_TOOLS + 1) }))).toMatchObject({
        detail: "body_too_deep (tools)",
      });
    }
  });

  test.each(LARGE_OPERATIONS)(
    "gives the event loop back between the stages of a large %s",
    async (id) => {
      const over: string[] = [];
      for (const { name, body } of largeBodies(id, BODY_LIMIT_BYTES / 1024 / 1024, DEFAULT_SCAN_LIMITS.maxValues)) {
        let outcome: object = {};
        const ms = await longestTurnMs(async () => {
          const { promise, resolve } = Promise.withResolvers<object>();
          // New bytes each time, as they come from a link.
          guard.inspectInTurns(admitted(id), Buffer.from(body), resolve);
          outcome = await promise;
        });
        if (isFailure(outcome)) expect([name, outcome.kind]).toEqual([name, "denied"]);
        if (ms > TURN_BOUND_MS) over.push(`${name}: ${ms.toFixed(0)} ms`);
      }
      expect(over).toEqual([]);
    },
    240_000,
  );
});
