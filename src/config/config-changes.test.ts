import { describe, expect, test } from "vitest";
import { Secret } from "../lib/secret.ts";
import { changedSettings, ownCopy, setSetting, settingAt } from "./config-changes.ts";
import { DEFAULT_LIMITS, defaultConfig } from "./defaults.ts";
import type { ResolvedConfig } from "./resolved.ts";

const base = defaultConfig("/data");
const pathsOf = (next: ResolvedConfig) => changedSettings(base, next).map(({ path }) => path);

describe("changedSettings()", () => {
  test("names settings as the file does, single ones where they are judged by themselves", () => {
    const { gateway } = base;
    const limits = { ...gateway.limits, bodyBytes: 1, requests: 2 };
    const timeouts = { ...gateway.timeouts, totalMs: 3 };
    expect(pathsOf({ ...base, gateway: { ...gateway, limits, timeouts, publicUrl: "https://x.example" } })).toEqual([
      "gateway.publicUrl",
      "gateway.limits.body",
      "gateway.limits.requests",
      "gateway.timeouts.total",
    ]);
    expect(pathsOf({ ...base, keyTemplates: new Map([["a", { concurrency: 1 }]]) })).toEqual(["access.templates"]);
  });

  test("finds nothing where only the file has moved, nor in what is not a gateway's", () => {
    expect(pathsOf({ ...base, file: "/other.yaml", logLevel: "debug" })).toEqual([]);
    expect(pathsOf({ ...base, agent: { ...base.agent, discover: false } })).toEqual([]);
  });

  test("sees that a secret is another one", () => {
    const proxy = (value: string) => ({
      ranges: ["10.0.0.1"],
      header: "x-forwarded-for" as const,
      secret: { header: "x-proof", value: new Secret(value) },
      access: null,
    });
    const withSecret = (value: string) => ({ ...base, gateway: { ...base.gateway, trustedProxies: [proxy(value)] } });
    expect(changedSettings(withSecret("a"), withSecret("a"))).toEqual([]);
    expect(changedSettings(withSecret("a"), withSecret("b")).map(({ path }) => path)).toEqual([
      "gateway.trustedProxies",
    ]);
  });
});

test("a setting is put into the section itself, and never into anybody else's defaults", () => {
  const live = ownCopy(base);
  const held = live.gateway.limits;
  setSetting(live, ["gateway", "limits", "bodyBytes"], 7);
  expect(held.bodyBytes).toBe(7);
  expect(settingAt(live, ["gateway", "limits", "bodyBytes"])).toBe(7);
  expect(base.gateway.limits.bodyBytes).toBe(DEFAULT_LIMITS.bodyBytes);
  expect(DEFAULT_LIMITS.bodyBytes).not.toBe(7);
});
