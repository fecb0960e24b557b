import { afterEach, beforeEach, expect, test } from "vitest";
import { type ConfiguredGateway, startConfigured } from "../../test/support/configured-gateway.ts";
import { eventually } from "../../test/support/eventually.ts";
import { NudgedClock } from "../../test/support/nudged-clock.ts";
import { type StandInProvider, sendJson, startStandInProvider } from "../../test/support/stand-in-provider.ts";

const MINUTE = 60_000;
const LIST = { object: "list", data: [{ id: "pool", object: "model", owned_by: "x" }] };

let own: StandInProvider;
let cloud: StandInProvider;
let clock: NudgedClock;
let gateway: ConfiguredGateway;

/** A gateway with one machine and one cloud behind one name; keys go to the cloud first. */
async function start(key: Record<string, unknown> = {}, folder?: string): Promise<void> {
  const policy = { version: 1 as const, workflow: "web", prefer: "cloud" as const, ...key };
  gateway = await startConfigured(
    `
nodes:
  own: { url: "${own.origin}", kind: openai }
providers:
  cloud: { dialect: openai, baseUrl: "${cloud.origin}/v1", apiKey: env:KEY, models: [pool] }
continuity:
  contingency: { ramp: 1m, automatic: { hold: 5m } }
`,
    {
      env: { KEY: "k" },
      clock,
      key: { policy, template: null, expiresInMs: null },
      ...(folder === undefined ? {} : { folder }),
    },
  );
}

async function ask(): Promise<{
  status: number;
  servedBy: string | null;
  fallback: string | null;
  error: string | null;
}> {
  const answer = await gateway.ask("/v1/chat/completions", {
    model: "pool",
    messages: [{ role: "user", content: "hello" }],
  });
  await answer.text();
  const header = (name: string) => answer.headers.get(name);
  return {
    status: answer.status,
    servedBy: header("x-postern-served-by"),
    fallback: header("x-postern-fallback"),
    error: header("x-postern-error"),
  };
}

beforeEach(async () => {
  clock = new NudgedClock();
  [own, cloud] = await Promise.all([startStandInProvider(), startStandInProvider()]);
  const chat = own.answer;
  own.answer = (request, response) =>
    request.method === "GET" ? sendJson(response, 200, LIST) : chat(request, response);
});
afterEach(async () => {
  await gateway.close();
  await Promise.all([own.close(), cloud.close()]);
});

test("a gateway in contingency is in contingency after a restart, and its log has what ran under it", async () => {
  await start();
  expect(await ask()).toMatchObject({ servedBy: "provider/cloud", fallback: null });
  await gateway.admin.contingencyOn({ reason: "announced outage", forMs: 10 * MINUTE });
  expect(await ask()).toMatchObject({ status: 200, servedBy: "node/own", fallback: "contingency" });
  const { folder } = gateway;
  await gateway.stop();
  await start({}, folder);
  expect((await gateway.admin.status()).contingency).toMatchObject([{ state: "contingency" }]);
  expect(await ask()).toMatchObject({ servedBy: "node/own", fallback: "contingency" });
  await clock.pass(12 * MINUTE);
  expect(await ask()).toMatchObject({ servedBy: "provider/cloud", fallback: null });
  const { requests } = await gateway.admin.listRequests({ contingency: "only" });
  expect(requests.map(({ servedBy, workflow, contingency }) => [servedBy, workflow, contingency])).toEqual([
    ["node/own", "web", "command"],
    ["node/own", "web", "command"],
  ]);
});

test("a cloud that fails again and again puts the gateway into contingency, and it comes back when the cloud is well", async () => {
  await start();
  const chat = cloud.answer;
  cloud.answer = (_request, response) => sendJson(response, 500, { error: { message: "boom" } });
  for (let request = 0; request < 3; request++) {
    expect(await ask()).toMatchObject({ status: 200, servedBy: "node/own" });
  }
  const { contingency } = await gateway.admin.status();
  expect(contingency).toMatchObject([{ state: "contingency", causes: [{ cause: "automatic", by: "gateway" }] }]);
  const asked = cloud.asked.length;
  expect(await ask()).toMatchObject({ servedBy: "node/own", fallback: "contingency" });
  expect(cloud.asked).toHaveLength(asked);

  cloud.answer = chat;
  await clock.pass(7 * MINUTE);
  await eventually(async () => {
    const { servedBy } = await ask();
    return servedBy === "provider/cloud" ? true : undefined;
  }, "the cloud to serve again");
  expect((await gateway.admin.status()).contingency).toEqual([]);
  const actions = (await gateway.admin.listAudit({ action: "contingency.change" })).entries.map(
    ({ actor }) => actor.kind,
  );
  expect(actions.length).toBeGreaterThan(0);
  expect(new Set(actions)).toEqual(new Set(["gateway"]));
});

test("a request of a strict key waits for an operator of the gateway, and goes when it is approved", async () => {
  await start({ fallback: "approval" });
  await gateway.admin.contingencyOn({ reason: "announced outage" });
  const answer = ask();
  const id = await eventually(async () => (await gateway.admin.approvals()).waiting[0]?.id, "the request to wait");
  await gateway.admin.approve(id);
  expect(await answer).toMatchObject({ status: 200, servedBy: "node/own", fallback: "approved" });
  const refused = ask();
  const next = await eventually(async () => (await gateway.admin.approvals()).waiting[0]?.id, "the next one to wait");
  await gateway.admin.deny(next);
  expect(await refused).toMatchObject({ status: 403, error: "approval_denied" });
});

test("a model that nodes no longer serve is in the status, with the providers that stand in", async () => {
  await start();
  expect((await gateway.admin.status()).nodesAway).toEqual([]);
  const review = await gateway.admin.reviewContinuity();
  expect(review.models.find(({ model }) => model === "pool")?.singlePoints).toEqual(["the gateway"]);
});
