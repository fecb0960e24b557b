import { expect, test } from "vitest";
import { AgentAddresses } from "./agent-addresses.ts";

test("AgentAddresses writes down again what the store did not take, so that a restart tells of no change twice", async () => {
  let kept: Uint8Array | null = null;
  let isLocked = true;
  const failures: unknown[] = [];
  const settings = {
    get: async () => kept,
    async set(_name: string, value: Uint8Array) {
      if (isLocked) throw new Error("locked");
      kept = value;
    },
  };
  const load = () => AgentAddresses.load(settings, (error) => failures.push(error));
  const before = await load();
  before.seen("c", "forge", "192.0.2.1");
  before.take();
  await expect.poll(() => failures).toHaveLength(1);
  isLocked = false;
  before.take();
  await expect.poll(() => kept).not.toBeNull();
  const after = await load();
  after.seen("c", "forge", "192.0.2.2");
  expect(after.take()).toMatchObject([{ key: "forge 192.0.2.2" }]);
});
