import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import { type StandInProvider, sendJson, startStandInProvider } from "../../test/support/stand-in-provider.ts";

const CHAT = { messages: [{ role: "user", content: "hello" }] };

let own: StandInProvider;
let cloud: StandInProvider;
let gateway: ConfiguredGateway;
let isOwnWell: boolean;

beforeEach(async () => {
  isOwnWell = true;
  [own, cloud] = await Promise.all([startStandInProvider(), startStandInProvider()]);
  const chat = own.answer;
  own.answer = (request, response) => {
    if (request.method === "GET") sendJson(response, 200, { data: [{ id: "pool" }, { id: "local" }] });
    else if (isOwnWell) chat(request, response);
    else sendJson(response, 503, { error: { message: "busy" } });
  };
  gateway = await startConfigured(`
nodes:
  own: { url: "${own.origin}", kind: openai }
providers:
  cloud: { dialect: openai, baseUrl: "${cloud.origin}/v1", models: { pool: gpt } }
models:
  assistant: { targets: [{ model: local, node: own }, { model: gpt, provider: cloud }] }
`);
});
afterEach(async () => {
  await gateway.close();
  await Promise.all([own.close(), cloud.close()]);
});

async function served(model: string, key = gateway.key): Promise<Set<string | null>> {
  const all = new Set<string | null>();
  for (let count = 0; count < 4; count++) {
    const answer = await gateway.ask("/v1/chat/completions", { ...CHAT, model }, { authorization: `Bearer ${key}` });
    expect(answer.status).toBe(200);
    all.add(answer.headers.get("x-postern-served-by"));
    await answer.arrayBuffer();
  }
  return all;
}

describe("a name that a node and a provider serve", () => {
  it.each(["pool", "assistant"])(
    "is answered at home where nobody says otherwise, and by the cloud when that fails: %s",
    async (model) => {
      expect(await served(model)).toEqual(new Set(["node/own"]));
      expect(cloud.connections).toBe(0);
      isOwnWell = false;
      expect(await served(model)).toEqual(new Set(["provider/cloud"]));
    },
  );

  it("is answered where the key says", async () => {
    const keyWith = async (prefer: "cloud" | "none") =>
      (await gateway.admin.createKey({ name: prefer, policy: { version: 1, prefer } })).secret;
    expect(await served("pool", await keyWith("cloud"))).toEqual(new Set(["provider/cloud"]));
    expect(await served("pool", await keyWith("none"))).toEqual(new Set(["node/own", "provider/cloud"]));
  });
});
