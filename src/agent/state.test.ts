import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PosternError } from "../errors.ts";
import { EngineKeys } from "./engine-keys.ts";
import { AgentState } from "./state.ts";

let folder: string;

beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), "postern-agent-")), "agent");
});

afterEach(() => rmSync(join(folder, ".."), { recursive: true, force: true }));

const MEMBERSHIP = {
  gateway: "https://ai.example.org",
  gatewayFingerprint: "A".repeat(43),
  node: { id: "n1", name: "desk" },
};

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

describe("AgentState", () => {
  test("makes an identity once and keeps it, the gateway and the epoch over restarts", () => {
    const first = AgentState.open(folder);
    expect(first.membership).toBeNull();
    first.join(MEMBERSHIP);
    expect(first.nextEpoch()).toBe(1);
    expect(first.nextEpoch()).toBe(2);
    const second = AgentState.open(folder);
    expect(second.identity.fingerprint).toBe(first.identity.fingerprint);
    expect(second.membership).toEqual(MEMBERSHIP);
    expect(second.nextEpoch()).toBe(3);
  });

  test("goes beyond the floor that a gateway names, and never back", () => {
    const state = AgentState.open(folder);
    expect(state.nextEpoch(41)).toBe(42);
    expect(state.nextEpoch(7)).toBe(43);
  });

  test.skipIf(process.platform === "win32")("lets nobody else read it", () => {
    const state = AgentState.open(folder);
    state.nextEpoch();
    state.join(MEMBERSHIP);
    EngineKeys.open(folder);
    expect(mode(folder)).toBe(0o700);
    for (const file of readdirSync(folder)) expect([file, mode(join(folder, file))]).toEqual([file, 0o600]);
    chmodSync(join(folder, "connector-identity"), 0o644);
    chmodSync(folder, 0o755);
    AgentState.open(folder);
    expect(mode(folder)).toBe(0o700);
    expect(mode(join(folder, "connector-identity"))).toBe(0o600);
  });

  test.each(["membership.json", "epoch", "connector-identity", "engine-seed"])(
    "says which file is damaged: %s",
    (file) => {
      AgentState.open(folder);
      writeFileSync(join(folder, file), "not what we wrote: pst_secret");
      let error: unknown;
      try {
        AgentState.open(folder);
        EngineKeys.open(folder);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(PosternError);
      expect(error).toMatchObject({ code: "invalid_input" });
      expect((error as Error).message).not.toContain("pst_secret");
    },
  );

  test("says when the folder cannot be used", () => {
    writeFileSync(join(folder, "..", "file"), "");
    expect(() => AgentState.open(join(folder, "..", "file", "agent"))).toThrow(
      expect.objectContaining({ code: "data_folder" }),
    );
  });
});

describe("EngineKeys", () => {
  test("derives the same key for a name every time, and another for another name or machine", () => {
    AgentState.open(folder);
    const key = EngineKeys.open(folder).keyOf("embedded").reveal();
    expect(key).toMatch(/^[0-9A-Za-z_-]{43}$/);
    expect(EngineKeys.open(folder).keyOf("embedded").reveal()).toBe(key);
    expect(EngineKeys.open(folder).keyOf("vllm").reveal()).not.toBe(key);
    rmSync(join(folder, "engine-seed"));
    expect(EngineKeys.open(folder).keyOf("embedded").reveal()).not.toBe(key);
  });

  test("does not print anything", () => {
    AgentState.open(folder);
    const keys = EngineKeys.open(folder);
    const seed = readFileSync(join(folder, "engine-seed")).toString("base64url");
    const printed = `${JSON.stringify(keys)}${JSON.stringify({ key: keys.keyOf("a") })}${keys.keyOf("a")}`;
    expect(printed).not.toContain(seed);
    expect(printed).not.toContain(keys.keyOf("a").reveal());
  });
});
