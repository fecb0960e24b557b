import type { ServerResponse } from "node:http";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import {
  CHAT_ANSWER,
  type StandInProvider,
  sendJson,
  startStandInProvider,
} from "../../test/support/stand-in-provider.ts";
import type { KeyPolicy } from "../access/policy.ts";

/** One answer of the stand-in: 1,000 tokens at $1,000 a million, and 100 at $10,000 a million, are two dollars. */
const PRICES = `prices:\n  provider/cloud/*: { input: 1000, output: 10000 }\n`;
const CHAT = { model: "gpt", max_tokens: 100, messages: [{ role: "user", content: "hello, you. ".repeat(250) }] };

let cloud: StandInProvider;
let gateways: ConfiguredGateway[];

beforeEach(async () => {
  cloud = await startStandInProvider();
  gateways = [];
});
afterEach(async () => {
  for (const gateway of gateways.toReversed()) await gateway.close();
  await cloud.close();
});

async function start(spend: string, rest = "", folder?: string): Promise<ConfiguredGateway> {
  const yaml = `${PRICES}providers:\n  cloud:\n    dialect: openai\n    baseUrl: ${cloud.origin}/v1\n    models: [gpt]\n    spend: ${spend}\n${rest}`;
  const gateway = await startConfigured(yaml, folder === undefined ? {} : { folder });
  gateways.push(gateway);
  return gateway;
}

describe("a provider's cap", () => {
  it("closes it when it is spent, with a reason in status and in the models, and 503 where nobody else serves", async () => {
    const { ask, admin } = await start("{ day: { hard: 4.5 } }");
    const statuses = [];
    for (let count = 0; count < 3; count++) statuses.push((await ask("/v1/chat/completions", CHAT)).status);
    expect(statuses).toEqual([200, 200, 503]);
    expect(cloud.asked).toHaveLength(2);
    const { gateway } = await admin.status();
    expect(gateway?.providers).toMatchObject([
      { name: "cloud", spending: [{ period: "day", spentMicros: 4_000_000 }, {}] },
    ]);
  });

  it("is no error while another target can serve", async () => {
    const local = await startStandInProvider();
    const chat = local.answer;
    local.answer = (request, response) =>
      request.method === "GET" ? sendJson(response, 200, { data: [{ id: "gpt" }] }) : chat(request, response);
    try {
      const { ask } = await start(
        "{ day: { hard: 2 } }",
        `nodes:\n  forge: { url: "${local.origin}", kind: openai }\n`,
      );
      const served: Array<string | null> = [];
      for (let count = 0; count < 4; count++) {
        const answer = await ask("/v1/chat/completions", CHAT);
        expect(answer.status).toBe(200);
        served.push(answer.headers.get("x-postern-served-by"));
      }
      expect(served.filter((one) => one === "provider/cloud").length).toBeLessThanOrEqual(1);
      expect(served.at(-1)).toBe("node/forge");
    } finally {
      await local.close();
    }
  });

  it("does not keep a key without money from a machine that costs nothing", async () => {
    const local = await startStandInProvider();
    const chat = local.answer;
    local.answer = (request, response) =>
      request.method === "GET" ? sendJson(response, 200, { data: [{ id: "gpt" }] }) : chat(request, response);
    try {
      const { ask, admin } = await start(
        "{ day: { hard: 100 } }",
        `nodes:\n  forge: { url: "${local.origin}", kind: openai }\n`,
      );
      const askWith = async (name: string, more: Partial<KeyPolicy>) => {
        const budgets = { costMicrosPerDay: { hard: 1 } };
        const { secret } = await admin.createKey({ name, policy: { version: 1, budgets, ...more } });
        const answer = await ask("/v1/chat/completions", CHAT, { authorization: `Bearer ${secret}` });
        const { headers, status } = answer;
        return { status, by: headers.get("x-postern-served-by"), budget: headers.get("x-postern-budget") };
      };
      expect(await askWith("stays", { mayLeave: "no" })).toEqual({ status: 200, by: "node/forge", budget: null });
      // Although it prefers the cloud, which it cannot pay.
      const spent = { status: 200, by: "node/forge", budget: "costMicrosPerDay" };
      expect(await askWith("leaves", { mayLeave: "yes", prefer: "cloud" })).toEqual(spent);
      expect(await askWith("cloud-only", { targets: { providers: ["cloud"] } })).toMatchObject({ status: 429 });
      let late = 0;
      // Where what is free is away, the caller reads why it gets nothing else.
      await local.close();
      await expect.poll(async () => (await askWith(`late-${++late}`, {})).status, { timeout: 30_000 }).toBe(429);
      expect(cloud.asked).toHaveLength(0);
    } finally {
      await local.close();
    }
  });

  it("is not passed by many requests at one time: each has reserved what it may cost", async () => {
    const waiting: ServerResponse[] = [];
    cloud.answer = (_request, response) => {
      waiting.push(response);
    };
    const { ask, admin } = await start("{ month: { hard: 8.5 } }");
    const answers = Array.from({ length: 20 }, () => ask("/v1/chat/completions", CHAT));
    await expect.poll(() => waiting.length).toBe(4);
    const refused = await Promise.all(Array.from({ length: 5 }, () => ask("/v1/chat/completions", CHAT)));
    expect(refused.map(({ status }) => status)).toEqual([503, 503, 503, 503, 503]);
    for (const response of waiting) sendJson(response, 200, CHAT_ANSWER);
    const statuses = (await Promise.all(answers)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 200)).toHaveLength(4);
    const { gateway } = await admin.status();
    expect(gateway?.providers[0]?.spending[1]).toMatchObject({ period: "month", spentMicros: 8_000_000 });
  });

  it("counts what was spent before a restart", async () => {
    const first = await start("{ day: { hard: 2 } }");
    expect((await first.ask("/v1/chat/completions", CHAT)).status).toBe(200);
    // Its store outlives it: the folder is removed by the one that made it, at the end.
    await first.stop();
    const second = await start("{ day: { hard: 2 } }", "", first.folder);
    expect((await second.ask("/v1/chat/completions", CHAT)).status).toBe(503);
    expect(cloud.asked).toHaveLength(1);
    const models = await second.admin.listModels();
    expect(models[0]?.targets[0]?.reason).toMatch(/^its cap of \$2\.00 for the day is spent, until /);
    const { gateway } = await second.admin.status();
    expect(gateway?.providers).toMatchObject([{ ready: false, reason: expect.stringContaining("is spent") }]);
  });

  it("is refused in the configuration for a model without a price", async () => {
    const yaml = `providers:\n  cloud: { dialect: openai, baseUrl: "${cloud.origin}/v1", models: [gpt], spend: { day: { hard: 1 } } }\n`;
    await expect(startConfigured(yaml)).rejects.toThrow(/"gpt" has no price: add one to `prices`/);
  });
});
