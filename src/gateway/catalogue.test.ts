import { describe, expect, it } from "vitest";
import { NO_STEERING } from "../routing/steering.ts";
import type { SettingStore } from "../storage/store.ts";
import { engineReport, modelReport, nodeReport } from "../tunnel/__fixtures__/node-report.ts";
import type { NodeReport } from "../tunnel/link.ts";
import { LiveCatalogue } from "./catalogue.ts";
import { ModelOwners } from "./model-owners.ts";
import { ProviderSpending } from "./provider-spending.ts";
import { ProviderTarget } from "./provider-target.ts";
import { retarget } from "./reloadable.ts";

class MemorySettings implements SettingStore {
  readonly values = new Map<string, Uint8Array>();

  async get(name: string): Promise<Uint8Array | null> {
    return this.values.get(name) ?? null;
  }

  async set(name: string, value: Uint8Array): Promise<void> {
    this.values.set(name, value);
  }
}

function report(models: string[], fields: { ready?: boolean; remote?: string[] } = {}): NodeReport {
  const remote = (fields.remote ?? []).map((name) => modelReport(name, { remote: true }));
  const own = models.map((name) => modelReport(name));
  return nodeReport(engineReport([], { ready: fields.ready ?? true, models: [...own, ...remote] }));
}

async function make(settings = new MemorySettings(), isUp = () => true) {
  const owners = await ModelOwners.load(settings, () => {});
  const reach = { canAccept: isUp, start: () => ({ pause() {}, resume() {}, cancel() {} }) };
  return new LiveCatalogue(
    () => reach,
    owners,
    () => 1_000,
  );
}

function provided(model: string): ProviderTarget {
  const nothing = { pause() {}, resume() {}, cancel() {} };
  return new ProviderTarget(
    {
      backend: { kind: "provider", id: "p", name: "cloud", label: "provider/cloud", locality: "cloud", tags: [] },
      dialect: "openai",
      kind: "openai",
      times: { firstTokenMs: 1, betweenTokensMs: 1, wholeMs: 1 },
      betas: [],
      way: { start: () => nothing },
      host: "cloud.example.org",
      spending: new ProviderSpending({ day: NO_CAP, month: NO_CAP }, 0),
      nowMs: () => 0,
      answered() {},
      pathOf: (path) => path,
      closedFor: () => null,
    },
    model,
    ["openai.chat"],
    null,
  );
}

const NO_CAP = { softMicros: null, hardMicros: null };

describe("LiveCatalogue", () => {
  it("routes what a node was granted and shows the rest as offered", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["llama*"] });
    catalogue.setReport("a", "c1", report(["llama3:8b", "qwen"]));
    expect([...catalogue.list()].map((entry) => entry.name)).toEqual(["llama3:8b"]);
    expect(catalogue.offered).toEqual([{ nodeId: "a", model: "qwen" }]);
    expect(catalogue.views().find((view) => view.name === "qwen")).toMatchObject({ source: "offered", ready: false });
  });

  it("gives a name to the first node that offers it, and keeps it there over a restart", async () => {
    const settings = new MemorySettings();
    const before = await make(settings);
    before.setNode({ id: "a", name: "forge", grants: null });
    before.setNode({ id: "b", name: "anvil", grants: null });
    before.setReport("a", "c1", report(["llama"]));
    before.setReport("b", "c2", report(["llama"]));
    expect(before.find("llama")?.targets.map((target) => target.backend.name)).toEqual(["forge"]);
    await Promise.resolve();

    const after = await make(settings);
    after.setNode({ id: "a", name: "forge", grants: null });
    after.setNode({ id: "b", name: "anvil", grants: null });
    after.setReport("b", "c2", report(["llama"]));
    expect(after.find("llama")).toBeUndefined();
    after.removeNode("a");
    expect(after.find("llama")?.targets.map((target) => target.backend.name)).toEqual(["anvil"]);
  });

  it("keeps rented nodes apart, from the moment that a node is said to be one", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"], locality: "own", tags: ["gpu"] });
    catalogue.setReport("a", "c1", report(["llama"]));
    const [target] = catalogue.find("llama")?.targets ?? [];
    expect([target?.leaves, target?.backend.tags]).toEqual([false, ["gpu"]]);
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"], locality: "rented", tags: [] });
    expect([target?.leaves, target?.backend.locality, target?.backend.tags]).toEqual([true, "rented", []]);
  });

  it("does not let a node without a grant draw the requests for a provider's model", async () => {
    const catalogue = await make();
    const offer = { name: "gpt", target: provided("gpt") };
    catalogue.setProvider("cloud", [offer]);
    catalogue.setNode({ id: "a", name: "forge", grants: null });
    catalogue.setReport("a", "c1", report(["gpt", "llama"]));
    expect(catalogue.find("gpt")?.targets).toEqual([offer.target]);
    expect(catalogue.offered).toEqual([{ nodeId: "a", model: "gpt" }]);
    catalogue.setNode({ id: "a", name: "forge", grants: ["gpt"] });
    expect(catalogue.find("gpt")?.targets.map(({ backend }) => backend.label)).toEqual([
      "node/forge",
      "provider/cloud",
    ]);
  });

  it("makes one pool of several nodes that were granted the same name", async () => {
    const catalogue = await make();
    for (const id of ["a", "b"]) {
      catalogue.setNode({ id, name: id, grants: ["*"] });
      catalogue.setReport(id, `c-${id}`, report(["llama"]));
    }
    expect(catalogue.find("llama")?.targets).toHaveLength(2);
  });

  it("keeps a target and its count over reports, and keeps models of a node that is away", async () => {
    let isUp = true;
    const catalogue = await make(new MemorySettings(), () => isUp);
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setReport("a", "c1", report(["llama"]));
    const target = catalogue.find("llama")?.targets[0];
    target?.began();
    catalogue.setReport("a", "c1", report(["llama", "qwen"]));
    expect(catalogue.find("llama")?.targets[0]).toBe(target);
    expect(target?.busy).toBe(1);
    isUp = false;
    expect(target?.canAccept()).toBe(false);
    expect(catalogue.find("llama")).toBeDefined();
  });

  it("takes no attempts where the engine is not ready, and knows what runs in somebody else's cloud", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setReport("a", "c1", report(["llama"], { ready: false, remote: ["big:cloud"] }));
    expect(catalogue.find("llama")?.targets[0]?.canAccept()).toBe(false);
    expect(catalogue.find("big:cloud")?.targets[0]?.leaves).toBe(true);
    expect(catalogue.find("llama")?.targets[0]?.leaves).toBe(false);
  });

  // Ollama answers 400 to a chat with such a model, in words of its own.
  it("asks a model that is for embeddings for nothing else", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    const told = report(["nomic", "llama", "both", "silent"]);
    const [engine] = told.engines;
    engine!.operations = ["openai.chat", "openai.embeddings", "anthropic.messages", "ollama.embed", "openai.rerank"];
    engine!.models[0]!.capabilities = ["embedding"];
    engine!.models[1]!.capabilities = ["completion", "tools"];
    engine!.models[2]!.capabilities = ["embedding", "completion"];
    catalogue.setReport("a", "c1", told);
    const operations = (name: string) => [...(catalogue.find(name)?.targets[0]?.operations ?? [])];
    expect(operations("nomic")).toEqual(["openai.embeddings", "ollama.embed", "openai.rerank"]);
    for (const name of ["llama", "both", "silent"]) expect(operations(name)).toEqual(engine!.operations);
  });

  it("resolves aliases to the targets of what they stand for", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setAliases([
      {
        name: "fast",
        isHidden: false,
        targets: [
          { model: "llama", node: null, provider: null },
          { model: "qwen", node: "elsewhere", provider: null },
        ],
      },
    ]);
    catalogue.setReport("a", "c1", report(["llama", "qwen"]));
    expect(catalogue.find("fast")?.targets.map((target) => target.engineModel)).toEqual(["llama"]);
    expect(catalogue.views().find((view) => view.name === "fast")?.source).toBe("alias");
  });

  it("lets a pattern stand for names that nobody offers, under the name of what answers", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setAliases([
      { name: "claude-haiku-*", isHidden: false, targets: [{ model: "qwen", node: null, provider: null }] },
      { name: "claude-*", isHidden: false, targets: [{ model: "llama", node: null, provider: null }] },
    ]);
    catalogue.setReport("a", "c1", report(["llama", "qwen"]));
    expect(catalogue.match("claude-sonnet-5")?.name).toBe("llama");
    expect(catalogue.match("claude-haiku-5")?.name).toBe("qwen");
    expect(catalogue.match("gpt-5")).toBeUndefined();
    expect(catalogue.find("claude-sonnet-5")).toBeUndefined();
    expect([...catalogue.list()].map(({ name }) => name)).toEqual(["llama", "qwen"]);
  });

  // An alias for "llama3" of an Ollama was 404 without a word: the engine's name is "llama3:latest".
  it("takes Ollama's names for each other in the targets of aliases and patterns", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setAliases([
      { name: "fast", isHidden: false, targets: [{ model: "llama3", node: null, provider: null }] },
      { name: "claude-*", isHidden: false, targets: [{ model: "llama3", node: "forge", provider: null }] },
    ]);
    catalogue.setReport("a", "c1", report(["llama3:latest"]));
    expect(catalogue.find("fast")?.targets.map((target) => target.engineModel)).toEqual(["llama3:latest"]);
    expect(catalogue.match("claude-sonnet-5")?.name).toBe("llama3:latest");
  });

  it("names a pattern's model after the first target that is offered, which is the one that answers", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    const targets = [
      { model: "absent", node: null, provider: null },
      { model: "llama", node: null, provider: null },
    ];
    catalogue.setAliases([{ name: "*", isHidden: false, targets }]);
    catalogue.setReport("a", "c1", report(["llama"]));
    expect(catalogue.match("anything")?.name).toBe("llama");
  });

  it("shows operators aliases that nothing serves, and callers not", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setAliases([
      { name: "fast", isHidden: false, targets: [{ model: "mistyped", node: null, provider: null }] },
      { name: "claude-*", isHidden: false, targets: [{ model: "mistyped", node: null, provider: null }] },
      { name: "llama", isHidden: true, targets: [] },
    ]);
    catalogue.setReport("a", "c1", report(["llama"]));
    const unserved = catalogue.views().filter((view) => view.targets.length === 0);
    expect(unserved.map(({ name, source, ready }) => [name, source, ready])).toEqual([
      ["fast", "alias", false],
      ["claude-*", "alias", false],
    ]);
    expect([...catalogue.list()]).toEqual([]);
    expect(catalogue.find("fast")).toBeUndefined();
  });

  // A llama-server that was restarted turned its model into "does not exist" for up to half a minute, which clients do not retry.
  it("keeps the models of an engine that stopped answering, without sending it requests", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setReport("a", "c1", report(["llama"]));
    catalogue.setReport("a", "c1", report([], { ready: false }));
    catalogue.setReport("a", "c1", report([], { ready: false }));
    expect(catalogue.find("llama")?.targets.map((target) => target.canAccept())).toEqual([false]);
    expect(catalogue.views()).toMatchObject([{ name: "llama", ready: false }]);
    catalogue.setReport("a", "c1", report(["qwen"]));
    expect([...catalogue.list()].map(({ name }) => name)).toEqual(["qwen"]);
    catalogue.setReport("a", "c1", { ...report([]), engines: [] });
    expect([...catalogue.list()]).toEqual([]);
  });

  it("leaves hidden names out of lists, and answers them all the same", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setAliases([{ name: "llama", isHidden: true, targets: [] }]);
    catalogue.setReport("a", "c1", report(["llama", "qwen"]));
    expect([...catalogue.list()].map(({ name }) => name)).toEqual(["qwen"]);
    expect(catalogue.find("llama")?.targets).toHaveLength(1);
  });

  it("sends a drained node nothing, says so, and remembers it when the node comes anew", async () => {
    const catalogue = await make();
    catalogue.setSteering({ ...NO_STEERING, drained: ["a"] });
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setReport("a", "c1", report(["llama"]));
    expect(catalogue.find("llama")?.targets[0]?.canAccept()).toBe(false);
    expect(catalogue.views()[0]).toMatchObject({ ready: false, targets: [{ reason: "the node is drained" }] });
    catalogue.setSteering(NO_STEERING);
    expect(catalogue.find("llama")?.targets[0]?.canAccept()).toBe(true);
  });

  it("routes a model as the file says, and by the operator's weights since", async () => {
    const catalogue = await make();
    for (const id of ["a", "b"]) {
      catalogue.setNode({ id, name: id, grants: ["*"] });
      catalogue.setReport(id, `c-${id}`, report(["blue", "green"]));
    }
    const any = { node: null, provider: null };
    const targets = [
      { model: "blue", ...any, weight: 9 },
      { model: "green", ...any },
    ];
    catalogue.setAliases([
      { name: "chat", isHidden: false, targets },
      { name: "first", isHidden: false, targets, strategy: "priority" },
      { name: "blue", isHidden: false, targets: [], strategy: "affinity", isRequired: true },
      { name: "lost", isHidden: false, targets: [], isRequired: true },
    ]);
    const weightsOf = () => {
      const routing = catalogue.find("chat")?.routing;
      return [routing?.strategy, routing?.weightOf("a/ollama/blue"), routing?.weightOf("b/ollama/green")];
    };
    expect(weightsOf()).toEqual(["weighted", 9, 1]);
    const first = catalogue.find("first")?.routing;
    expect([first?.strategy, first?.rankOf("b/ollama/blue"), first?.rankOf("a/ollama/green")]).toEqual([
      "priority",
      0,
      1,
    ]);
    expect(catalogue.find("blue")?.routing.strategy).toBe("affinity");
    expect(catalogue.find("green")?.routing.strategy).toBe("least-busy");
    catalogue.setSteering({ ...NO_STEERING, weights: { chat: { "a/ollama/blue": 0 } } });
    expect(weightsOf()).toEqual(["weighted", 0, 1]);
    const views = new Map(catalogue.views().map((view) => [view.name, view]));
    expect(views.get("blue")).toMatchObject({ required: true, source: "node", ready: true });
    expect(views.get("lost")).toMatchObject({ required: true, ready: false, targets: [] });
    expect(views.get("chat")?.targets.map(({ id, weight }) => [id, weight])).toContainEqual(["a/ollama/blue", 0]);
  });

  it("refuses names of a changed file that leave a required model with nobody, and takes others", async () => {
    const catalogue = await make();
    catalogue.setNode({ id: "a", name: "forge", grants: ["*"] });
    catalogue.setReport("a", "c1", report(["blue"]));
    const any = { node: null, provider: null, weight: null };
    const chat = (model: string, isRequired = true) => [
      { name: "chat", isHidden: false, strategy: null, isRequired, isRescued: false, targets: [{ model, ...any }] },
    ];
    retarget(catalogue, chat("blue"));
    expect(() => retarget(catalogue, chat("green"))).toThrow(/nobody who serves "chat"/);
    retarget(catalogue, chat("blue"));
    retarget(catalogue, chat("green", false));
    // What nobody served before is not made worse.
    retarget(catalogue, chat("green"));
  });
});
