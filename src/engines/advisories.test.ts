import { describe, expect, test } from "vitest";
import type { EngineKind } from "../tunnel/link.ts";
import { advisoriesFor } from "./advisories.ts";

function ids(kind: EngineKind, version: string | null, leastVersion: string | null = null): string[] {
  return advisoriesFor({ kind, version, leastVersion }).map((one) => one.id);
}

describe("advisoriesFor()", () => {
  test.each<[EngineKind, string, string[]]>([
    ["ollama", "0.33.0", []],
    ["ollama", "0.17.1", []],
    ["ollama", "0.17.0", ["CVE-2026-7482"]],
    ["ollama", "0.17.1-rc0", ["CVE-2026-7482"]],
    ["ollama", "0.12.3", ["CVE-2026-7482", "CVE-2025-63389", "no-native-messages"]],
    ["llama-server", "b8156-3769fe6", ["CVE-2026-21869"]],
    ["llama-server", "b11549-00dc8057", []],
    ["vllm", "0.32.0", []],
    ["vllm", "0.22.0", ["CVE-2026-115911"]],
    ["vllm", "0.14.0", ["CVE-2026-48746", "CVE-2026-22778", "CVE-2026-115911", "CVE-2026-24779"]],
    ["vllm", "0.8.2", ["CVE-2026-48746", "CVE-2026-115911", "CVE-2026-24779"]],
    ["sglang", "0.5.10", ["CVE-2026-7304"]],
    ["sglang", "0.5.12", []],
    ["openai", "0.1.0", []],
  ])("knows of %s %s: %j", (kind, version, expected) => {
    expect(ids(kind, version)).toEqual(expected);
  });

  test("says nothing of a build that does not say its version", () => {
    expect(ids("llama-server", "b0-unknown")).toEqual([]);
    expect(ids("ollama", "0.0.0")).toEqual([]);
    expect(ids("ollama", null)).toEqual([]);
  });

  test("goes by what a server can do where it does not say its version", () => {
    expect(ids("lm-studio", null, "0.3.6")).toEqual(["no-native-messages"]);
    expect(ids("lm-studio", null, "0.4.1")).toEqual([]);
  });
});
