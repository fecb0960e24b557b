import { expect, test } from "vitest";
import { operationById } from "../dialects/operations.ts";
import { PosternError } from "../errors.ts";
import { authorise, type HeadFacts } from "./authorise.ts";
import { CompiledPolicy, compilePolicy } from "./compiled-policy.ts";
import type { KeyPolicy } from "./policy.ts";

const node = (name: string, tags: string[] = []) => ({ kind: "node" as const, name, tags });
const compile = (words: Omit<KeyPolicy, "version">) => new CompiledPolicy({ version: 1, ...words });

function operation(id: string) {
  const found = operationById(id);
  if (found === undefined) throw new Error(id);
  return found;
}

test("a policy that says nothing allows everything but other endpoints and pinning", () => {
  const policy = compile({});
  expect(policy.mayUseModel("x")).toBe(true);
  expect(policy.mayComeFrom("192.0.2.1")).toBe(true);
  expect(policy.mayCall(operation("ollama.chat"))).toBe(true);
  expect(policy.mayUseEndpoint("default")).toBe(true);
  expect(policy.mayUseEndpoint("team")).toBe(false);
  expect(policy.mayPin).toBe(false);
  expect(policy.hasTargetRules).toBe(false);
});

test("an empty list allows nothing", () => {
  const policy = compile({ models: [], operations: [], dialects: [], endpoints: [], addresses: [], targets: {} });
  expect(policy.mayUseModel("x")).toBe(false);
  expect(policy.mayComeFrom("127.0.0.1")).toBe(false);
  expect(policy.mayCall(operation("openai.chat"))).toBe(false);
  expect(policy.mayUseEndpoint("default")).toBe(false);
  expect(policy.mayReach({ backend: node("a"), leaves: false })).toBe(false);
});

test("lists go with any dialect of their family, and with none of another", () => {
  const policy = compile({ dialects: ["ollama-chat"] });
  expect(policy.mayCall(operation("ollama.tags"))).toBe(true);
  expect(policy.mayCall(operation("ollama.embed"))).toBe(false);
  expect(policy.mayCall(operation("openai.models"))).toBe(false);
});

test("an address rule takes IPv4 in whatever form it comes, and no text that is no address", () => {
  const policy = compile({ addresses: ["192.0.2.0/24"] });
  expect(policy.mayComeFrom("192.0.2.7")).toBe(true);
  expect(policy.mayComeFrom("::ffff:192.0.2.7")).toBe(true);
  expect(policy.mayComeFrom("192.0.3.7")).toBe(false);
  expect(policy.mayComeFrom("")).toBe(false);
});

test("prefer and fallback order the targets, or leave one side out", () => {
  const own = { backend: node("a"), leaves: false };
  const cloud = { backend: node("b", ["gpu"]), leaves: true };
  const provider = { backend: { kind: "provider" as const, name: "b", tags: [] }, leaves: true };
  const order = (words: Omit<KeyPolicy, "version">) => {
    const policy = compile(words);
    const reachable = [cloud, own, provider].filter((target) => policy.mayReach(target));
    return reachable
      .sort((a, b) => policy.compare(a, b))
      .map(({ backend }) => (backend.kind === "node" ? backend.name : `provider/${backend.name}`));
  };
  expect(order({ prefer: "local" })).toEqual(["a", "b", "provider/b"]);
  expect(order({ prefer: "cloud" })).toEqual(["b", "provider/b", "a"]);
  expect(order({ prefer: "none", fallback: "never" })).toEqual(["b", "a", "provider/b"]);
  expect(order({ prefer: "local", fallback: "never" })).toEqual(["a"]);
  expect(order({ prefer: "cloud", fallback: "never" })).toEqual(["b", "provider/b"]);
  expect(order({ prefer: "cloud", fallback: "approval" })).toEqual(["b", "provider/b", "a"]);
  expect(order({ targets: { nodes: ["b*"] } })).toEqual(["b"]);
  expect(order({ targets: { tags: ["gpu"] } })).toEqual(["b"]);
  expect(order({ targets: { tags: ["gpu"], nodes: ["a"] } })).toEqual(["b", "a"]);
  expect(order({ targets: { providers: ["*"] } })).toEqual(["provider/b"]);
});

test("with fallback: approval, the side that is not preferred needs one, and only with it", () => {
  const own = { backend: node("a"), leaves: false };
  const cloud = { backend: node("b"), leaves: true };
  const needs = (words: Omit<KeyPolicy, "version">) =>
    [own, cloud].map((target) => compile(words).needsApproval(target));
  expect(needs({ prefer: "local", fallback: "approval" })).toEqual([false, true]);
  expect(needs({ prefer: "cloud", fallback: "approval" })).toEqual([true, false]);
  expect(needs({ prefer: "none", fallback: "approval" })).toEqual([false, false]);
  expect(needs({ fallback: "approval" })).toEqual([false, false]);
  expect(needs({ prefer: "local", fallback: "automatic" })).toEqual([false, false]);
});

test("a stored policy is compiled once, and one that cannot be read allows nothing", () => {
  expect(compilePolicy('{"version":1,"concurrency":3}')).toBe(compilePolicy('{"version":1,"concurrency":3}'));
  const closed = compilePolicy('{"version":9}');
  expect(closed.stateAt(Date.now())).toBe("expired");
  expect(closed.mayUseModel("x")).toBe(false);
});

test("authorise() says which rule refused, and names the address that was seen", () => {
  const facts: HeadFacts = {
    endpoint: "default",
    address: "192.0.2.9",
    operation: operation("openai.chat"),
    isPinned: false,
    certificateHash: () => null,
  };
  const code = (words: Omit<KeyPolicy, "version">, more: Partial<HeadFacts> = {}) => {
    try {
      authorise(compile(words), { ...facts, ...more });
      return null;
    } catch (error) {
      return error instanceof PosternError ? `${error.code}: ${error.message}` : error;
    }
  };
  expect(code({})).toBeNull();
  const told = "This key may not be used from the address 192.0.2.9";
  expect(code({ addresses: ["10.0.0.0/8"] })).toBe(`address_denied: ${told}`);
  expect(code({ operations: ["openai.embeddings"] })).toMatch(/^operation_denied:/);
  expect(code({}, { endpoint: "team" })).toMatch(/^endpoint_denied:/);
  expect(code({}, { isPinned: true })).toMatch(/^pin_denied:/);
  expect(code({ mayPin: true }, { isPinned: true })).toBeNull();
  const pinned = { clientCertificates: ["a".repeat(64)] };
  expect(code(pinned)).toMatch(/^client_certificate_missing:/);
  expect(code(pinned, { certificateHash: () => "b".repeat(64) })).toMatch(/^client_certificate_missing:/);
  expect(code(pinned, { certificateHash: () => "a".repeat(64) })).toBeNull();
  expect(code({ clientCertificates: [] }, { certificateHash: () => "a".repeat(64) })).not.toBeNull();
});
