import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ROOT, readPage, writePart } from "../../scripts/docs.ts";
import { operationById } from "../../src/dialects/operations.ts";
import { AI_SDK_CLIENTS } from "../clients/ai-sdk.ts";
import { ANTHROPIC_CLIENTS } from "../clients/anthropic.ts";
import { type Ask, abilitiesOf, type Client, type ClientKind } from "../clients/client.ts";
import { type Behaviour, Compatibility } from "../clients/compatibility.ts";
import { ENGINES, type EngineRow, type MatrixEngine } from "../clients/engine.ts";
import { LANGCHAIN_CLIENTS } from "../clients/langchain.ts";
import { OLLAMA_CLIENTS } from "../clients/ollama.ts";
import { OPENAI_CLIENTS } from "../clients/openai.ts";
import { WatchedFetch } from "../clients/watched-fetch.ts";
import { cleanUp } from "../support/postern.ts";
import { startWholePath, type WholePath } from "../support/whole-path.ts";

/**
 * Every library that apps use, in every dialect that it speaks, with every engine, through a gateway, a tunnel and an agent.
 * What a library reads is compared with what the engine said, and with the gateway's record of it. What a library or an engine
 * cannot do has no test; the page says so.
 */
const CLIENTS = [...OPENAI_CLIENTS, ...ANTHROPIC_CLIENTS, ...OLLAMA_CLIENTS, ...AI_SDK_CLIENTS, ...LANGCHAIN_CLIENTS];
const ENDLESS_TOKENS = 6000;
const TOOL_RESULT = "21 degrees and sunny";
const STRANGER = `pst_${"x".repeat(12)}_${"y".repeat(43)}`;

const PAGE = "docs/reference/compatibility.md";

const compatibility = new Compatibility(CLIENTS, ENGINES);

afterAll(cleanUp);

describe.each(ENGINES)("$title", (row: EngineRow) => {
  let engine: MatrixEngine;
  let path: WholePath;
  let isSkipped = false;

  beforeAll(async () => {
    engine = await row.start();
    const started = await startWholePath({ agent: engine.agent, isEmbedded: engine.isEmbedded });
    if (started === null) isSkipped = true;
    else path = started;
    if (!isSkipped) await path.untilServed(engine.models.answer);
  });
  afterAll(async () => {
    await path?.close();
    await engine?.close();
  });

  const clients = CLIENTS.filter(({ operation }) => !row.lacks.includes(operation));

  describe.each(clients)("$dialect with $packages", (kind: ClientKind) => {
    const { family } = operationById(kind.operation)!;
    const can = abilitiesOf(kind);

    beforeEach((context) => context.skip(isSkipped, "llama.cpp could not be had on this machine"));

    function open(key = path.key): { client: Client; watch: WatchedFetch } {
      const watch = new WatchedFetch();
      return { client: kind.connect({ origin: path.origin, key, fetch: watch.fetch }), watch };
    }

    function ask(fields: Partial<Ask> = {}): Ask {
      return { model: engine.models.answer, prompt: "Greet me.", maxTokens: engine.maxTokens, ...fields };
    }

    function passed(behaviour: Behaviour): void {
      compatibility.passed(
        kind,
        row,
        behaviour,
        behaviour === "cancel" || behaviour === "error" || behaviour === "break" ? null : engine.lastPath(),
      );
    }

    /** Asks in the way that the client has; `onPiece` where it is a stream. */
    async function askAnyhow(client: Client, fields: Partial<Ask>): Promise<unknown> {
      if (client.stream !== undefined) return client.stream(ask(fields), () => {});
      return client.embed?.(ask(fields).model, [ask(fields).prompt]);
    }

    async function failureOf(client: Client, asking: Promise<unknown>) {
      const error = await asking.then(
        () => {
          throw new Error("the library took it for an answer");
        },
        (reason: unknown) => reason,
      );
      return client.failure(error);
    }

    const answers = can.whole !== undefined && can.stream !== undefined;
    const has = (behaviour: Behaviour) => !row.cannot.includes(behaviour);

    if (answers) {
      it("whole", async () => {
        const { client, watch } = open();
        const said = await client.whole!(ask());
        expect(said.text).toEqual(typeof engine.text === "string" ? engine.text : expect.stringMatching(engine.text));
        const record = await path.record(watch.lastRequestId);
        expect(record).toMatchObject({ outcome: "ok", isEstimated: false, operation: kind.operation });
        expect(said).toMatchObject({ tokensIn: record.tokensIn, tokensOut: record.tokensOut });
        expect(record.tokensIn * record.tokensOut).toBeGreaterThan(0);
        passed("whole");
      });

      it("stream", async () => {
        const { client, watch } = open();
        const pieces: string[] = [];
        const said = await client.stream!(ask(), (piece) => pieces.push(piece));
        expect(said.text).toEqual(typeof engine.text === "string" ? engine.text : expect.stringMatching(engine.text));
        expect(pieces.join("")).toBe(said.text);
        expect(pieces.filter((piece) => piece !== "").length).toBeGreaterThan(3);
        const record = await path.record(watch.lastRequestId);
        expect(record).toMatchObject({ outcome: "ok", isEstimated: false, isStream: true });
        expect(said).toMatchObject({ tokensIn: record.tokensIn, tokensOut: record.tokensOut });
        expect(record.tokensIn * record.tokensOut).toBeGreaterThan(0);
        passed("stream");
      });

      it("cancel", async () => {
        const { client, watch } = open();
        const leaving = new AbortController();
        const stream = client.stream!(
          ask({ model: engine.models.endless, maxTokens: ENDLESS_TOKENS, signal: leaving.signal }),
          (piece) => piece !== "" && leaving.abort(),
        );
        // Most libraries reject with an error of their own; `openai` ends its plain streams in silence.
        await stream.catch(() => {});
        expect(leaving.signal.aborted).toBe(true);
        const record = await path.record(watch.lastRequestId);
        expect(record).toMatchObject({ outcome: "aborted" });
        expect(record.tokensOut).toBeGreaterThan(0);
        expect(await engine.wasLeft()).not.toBe(false);
        passed("cancel");
      });
    }

    if (answers && has("thinking"))
      it("thinking", async () => {
        const { client, watch } = open();
        const thinks = engine.models.thinks!;
        const whole = await client.whole!(ask({ model: thinks }));
        // Thoughts are apart from the answer, and some libraries do not show them at all.
        expect(whole.text).toBe(engine.text);
        expect((await client.stream!(ask({ model: thinks }), () => {})).text).toBe(engine.text);
        expect((await path.record(watch.lastRequestId)).tokensOut).toBe(whole.tokensOut);
        passed("thinking");
      });

    if (can.useTool !== undefined && has("tools"))
      it.each([false, true])("tools, streamed: %s", async (isStream) => {
        const { client } = open();
        const asked: unknown[] = [];
        const run = (input: { city: string }) => {
          asked.push(input);
          return TOOL_RESULT;
        };
        const said = await client.useTool!(ask({ prompt: "What is the weather in Zürich?" }), run, isStream);
        expect(asked).toEqual([{ city: engine.city }]);
        expect(said.text).toBe(engine.afterTool!(TOOL_RESULT));
        const again = await client.useTool!(ask({ model: engine.models.callsTwice! }), run, isStream);
        expect(asked).toEqual(Array(3).fill({ city: engine.city }));
        expect(again.text).toBe(engine.afterTool!(TOOL_RESULT));
        if (isStream) passed("tools");
      });

    if (can.embed !== undefined)
      it("embeds", async () => {
        const { client } = open();
        const vectors = await client.embed!(engine.models.embed, ["one", "two"]);
        expect(vectors).toHaveLength(2);
        for (const vector of vectors)
          expect(vector.every((one) => Number.isFinite(one)) && vector.length > 0).toBe(true);
        passed("embed");
      });

    it("error", async () => {
      const { client } = open();
      const unknown = await failureOf(client, askAnyhow(client, { model: "nobody/has:this" }));
      expect(unknown).toMatchObject({ status: 404 });
      if (family !== "ollama") expect(unknown.code).toBe(family === "openai" ? "model_not_found" : "not_found_error");
      const stranger = open(STRANGER).client;
      const refused = await failureOf(stranger, askAnyhow(stranger, {}));
      expect(refused).toMatchObject({ status: 401 });
      const failure = await failureOf(client, askAnyhow(client, engine.refused.ask));
      expect(failure).toMatchObject({ status: 400 });
      expect(failure.message).toMatch(engine.refused.words);
      passed("error");
    });

    if (answers && has("break"))
      it("break", async () => {
        const { client } = open();
        await failureOf(
          client,
          client.stream!(ask({ model: engine.models.breaks! }), () => {}),
        );
        passed("break");
      });
  });
});

it(`${PAGE} says what came out (else run it again with POSTERN_WRITE_COMPATIBILITY=1)`, (context) => {
  context.skip(!ENGINES.every((engine) => compatibility.hasTried(engine)), "not every engine could be had");
  const page = readPage(PAGE);
  const written = writePart(page, "clients", compatibility.render());
  if (process.env["POSTERN_WRITE_COMPATIBILITY"] === "1") writeFileSync(resolve(ROOT, PAGE), written);
  else expect(page).toBe(written);
});
