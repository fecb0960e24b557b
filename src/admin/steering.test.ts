import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { startAdmin, type TestAdmin } from "../../test/support/admin-side.ts";
import { targetView } from "../../test/support/fake-live-gateway.ts";
import { readSteering, STEERING_SETTING } from "../routing/steering.ts";

// The one model of the played gateway is required.
let admin: TestAdmin;
beforeEach(async () => {
  admin = await startAdmin();
  for (const name of ["forge", "anvil"]) await admin.owner.inviteNode({ name });
  admin.live.targets = [targetView("forge"), targetView("anvil")];
});
afterEach(() => admin.close());

const saved = async () => readSteering(await admin.store.settings.get(STEERING_SETTING));

describe("nodes drain", () => {
  it("is shown, saved and told to the gateway, and taken back by resume", async () => {
    const node = await admin.owner.drainNode("forge");
    expect(node).toMatchObject({ name: "forge", isDrained: true });
    expect((await admin.owner.listNodes()).map(({ name, isDrained }) => [name, isDrained])).toEqual([
      ["anvil", false],
      ["forge", true],
    ]);
    expect(await saved()).toMatchObject({ drained: [node.id] });
    expect(admin.live.calls).toContain("drained: 1");
    expect((await admin.owner.resumeNode("forge")).isDrained).toBe(false);
    expect(await saved()).toMatchObject({ drained: [] });
  });

  it("is refused where it leaves a required model with nobody who serves it, unless it is forced", async () => {
    admin.live.targets = [targetView("forge"), { ...targetView("anvil"), ready: false }];
    await expect(admin.owner.drainNode("forge")).rejects.toMatchObject({ code: "required_model" });
    await expect(admin.owner.drainNode("forge")).rejects.toThrow(/draining "forge" would leave nobody who serves "m"/);
    expect(await saved()).toMatchObject({ drained: [] });
    expect(await admin.owner.drainNode("forge", true)).toMatchObject({ isDrained: true });
  });

  it("of a node that nobody knows is an error", async () => {
    await expect(admin.owner.drainNode("nobody")).rejects.toMatchObject({ code: "not_found" });
  });
});

describe("nodes remove", () => {
  it("is refused where the node is the last that serves a required model, unless it is forced", async () => {
    admin.live.targets = [targetView("forge")];
    await expect(admin.owner.removeNode("forge")).rejects.toMatchObject({ code: "required_model" });
    expect(await admin.owner.removeNode("anvil")).toMatchObject({ name: "anvil" });
    expect(await admin.owner.removeNode("forge", true)).toMatchObject({ name: "forge" });
  });
});

describe("models weight", () => {
  const weigh = (target: string, weight: number, force = false) =>
    admin.owner.setWeight({ model: "m", target, weight, force });

  it("is saved for the targets that the words name: a node, a label, an engine's model", async () => {
    await weigh("forge", 9);
    await weigh("node/anvil", 1);
    expect((await saved())?.weights).toEqual({ m: { "id-forge/e/m": 9, "id-anvil/e/m": 1 } });
    await weigh("m", 5);
    expect((await saved())?.weights).toEqual({ m: { "id-forge/e/m": 5, "id-anvil/e/m": 5 } });
    await expect(weigh("nobody", 1)).rejects.toThrow(/no target "nobody"/);
    await expect(admin.owner.setWeight({ model: "x", target: "forge", weight: 1, force: false })).rejects.toMatchObject(
      {
        code: "not_found",
      },
    );
  });

  it("goes back to what it was before, and forth again", async () => {
    await expect(admin.owner.rollBackWeights({ model: "m", force: false })).rejects.toThrow(/never changed/);
    await weigh("forge", 9);
    await weigh("forge", 0);
    await admin.owner.rollBackWeights({ model: "m", force: false });
    expect((await saved())?.weights).toEqual({ m: { "id-forge/e/m": 9 } });
    await admin.owner.rollBackWeights({ model: "m", force: false });
    expect((await saved())?.weights).toEqual({ m: { "id-forge/e/m": 0 } });
  });

  it("is refused where it leaves a required model with nobody who serves it, unless it is forced", async () => {
    admin.live.targets = [targetView("forge"), { ...targetView("anvil"), ready: false }];
    await expect(weigh("forge", 0)).rejects.toMatchObject({ code: "required_model" });
    await weigh("forge", 0, true);
    expect((await saved())?.weights).toEqual({ m: { "id-forge/e/m": 0 } });
  });
});

describe("nodes wake", () => {
  const wake = { mac: "00-11-22-AA-BB-CC", via: "anvil" };

  it("keeps how a machine is woken, and wakes it on request", async () => {
    await expect(admin.owner.wakeNode("forge")).rejects.toThrow(/Nobody can wake "forge" now/);
    expect((await admin.owner.setWake("forge", wake)).wake).toEqual({ mac: "00:11:22:aa:bb:cc", via: "anvil" });
    expect((await admin.owner.wakeNode("forge")).name).toBe("forge");
    expect((await admin.owner.setWake("forge", null)).wake).toBeNull();
    await expect(admin.owner.wakeNode("forge")).rejects.toMatchObject({ code: "invalid_input" });
  });

  it("refuses what cannot work: its own agent, a node that nobody knows, an odd address", async () => {
    await expect(admin.owner.setWake("forge", { ...wake, via: "forge" })).rejects.toThrow(/sleeps with it/);
    await expect(admin.owner.setWake("forge", { ...wake, via: "nobody" })).rejects.toMatchObject({ code: "not_found" });
    await expect(admin.owner.setWake("forge", { ...wake, mac: "00:11" })).rejects.toMatchObject({
      code: "invalid_input",
    });
  });
});
