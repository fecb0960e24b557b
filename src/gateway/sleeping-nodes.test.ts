import { expect, it } from "vitest";
import { NO_STEERING } from "../routing/steering.ts";
import { engineReport, nodeReport } from "../tunnel/__fixtures__/node-report.ts";
import type { NodeReport } from "../tunnel/link.ts";
import { LiveCatalogue } from "./catalogue.ts";
import { ModelOwners } from "./model-owners.ts";
import { SleepingNodes } from "./sleeping-nodes.ts";

const values = new Map<string, Uint8Array>();
const settings = {
  get: async (name: string) => values.get(name) ?? null,
  set: async (name: string, value: Uint8Array) => void values.set(name, value),
};
const steering = { ...NO_STEERING, wakes: { n: { mac: "00:11:22:aa:bb:cc", via: "pi" } } };

function report(model: string): NodeReport {
  return nodeReport(engineReport([model]));
}

async function start(isAway: () => boolean) {
  const owners = await ModelOwners.load({ get: async () => null, set: async () => {} }, () => {});
  const exchange = { pause() {}, resume() {}, cancel() {} };
  const reach = { canAccept: () => !isAway(), isAway, start: () => exchange };
  const catalogue = new LiveCatalogue(
    () => reach,
    owners,
    () => 1,
  );
  for (const id of ["n", "other"]) catalogue.setNode({ id, name: id, grants: ["*"] });
  catalogue.setSteering(steering);
  const sleeping = new SleepingNodes({ settings, catalogue, steering: () => steering, onFailure: expect.unreachable });
  await sleeping.load();
  return { catalogue, sleeping };
}

it("SleepingNodes knows the models of a machine that sleeps after a restart, until the machine itself says what it has", async () => {
  const before = await start(() => false);
  for (const node of ["n", "other"]) {
    before.catalogue.setReport(node, `c-${node}`, report(`model-of-${node}`));
    before.sleeping.reported(node, report(`model-of-${node}`));
  }
  await Promise.resolve();
  expect([...values.keys()]).toEqual(["sleeping-node/n"]);

  let isAway = true;
  const { catalogue, sleeping } = await start(() => isAway);
  const target = catalogue.find("model-of-n")?.targets[0];
  expect([target?.canAccept(), target?.isAsleep]).toEqual([false, true]);
  expect(catalogue.find("model-of-other")).toBeUndefined();
  isAway = false;
  catalogue.setReport("n", "c-n", report("newer"));
  sleeping.reported("n", report("newer"));
  expect(catalogue.find("model-of-n")).toBeUndefined();
  expect(catalogue.find("newer")?.targets[0]?.canAccept()).toBe(true);
});

it("a target whose machine is there and whose engine is down does not count as asleep", async () => {
  const { catalogue, sleeping } = await start(() => false);
  const down = report("m");
  catalogue.setReport("n", "c-n", { ...down, engines: down.engines.map((engine) => ({ ...engine, ready: false })) });
  sleeping.reported("n", down);
  expect(catalogue.find("m")?.targets[0]?.isAsleep).toBe(false);
});
