import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadConfig } from "./load.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "postern-providers-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function load(yaml: string) {
  const config = join(folder, "postern.yaml");
  writeFileSync(config, yaml);
  return loadConfig({
    part: "gateway",
    flags: { config, data: folder },
    env: { KEY: "sk-1", TITLE: "t" },
    cwd: folder,
  });
}

function fault(yaml: string): string {
  try {
    load(yaml);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error("it was accepted");
}

const provider = (rest: string) => `providers: { p: { dialect: openai, models: [m], ${rest} } }`;

describe("providers", () => {
  test("have the defaults of their dialect, and the gateway's times for clouds", () => {
    const { providers } = load(
      `gateway: { timeouts: { firstTokenProvider: 9s } }\nproviders:\n  o: { dialect: openai, apiKey: env:KEY, models: [m], project: proj_1, headers: { X-Title: env:TITLE } }\n  a: { dialect: anthropic, models: { c: claude }, timeouts: { whole: 2m } }`,
    );
    const [o, a] = providers;
    expect(o).toMatchObject({ baseUrl: "https://api.openai.com/v1", keyHeader: "authorization", servesAll: false });
    expect(o?.apiKey?.reveal()).toBe("sk-1");
    expect(o?.headers.map(([name, value]) => [name, value.reveal()])).toEqual([
      ["openai-project", "proj_1"],
      ["x-title", "t"],
    ]);
    expect(o?.times).toEqual({ connectMs: 5_000, firstTokenMs: 9_000, betweenTokensMs: 60_000, wholeMs: 300_000 });
    expect(a).toMatchObject({
      baseUrl: "https://api.anthropic.com/v1",
      keyHeader: "x-api-key",
      times: { wholeMs: 120_000 },
      models: [{ name: "c", model: "claude" }],
    });
    expect(JSON.stringify(providers)).not.toMatch(/sk-1/);
  });

  test.each([
    ["https://host.example", "openai", "https://host.example/v1"],
    ["https://host.example/api/v1/", "openai", "https://host.example/api/v1"],
    ["https://host.example/v1beta/openai", "openai", "https://host.example/v1beta/openai"],
    ["https://host.example", "anthropic", "https://host.example/v1"],
    ["https://host.example/v1", "anthropic", "https://host.example/v1"],
    ["http://127.0.0.1:9", "openai", "http://127.0.0.1:9/v1"],
  ])("take %s for %s as an SDK would: %s", (baseUrl, dialect, expected) => {
    const { providers } = load(`providers: { p: { dialect: ${dialect}, baseUrl: "${baseUrl}", models: [m] } }`);
    expect(providers[0]?.baseUrl).toBe(expected);
  });

  test("have the models that only aliases name, without listing them", () => {
    const { providers } = load(
      "providers: { p: { dialect: openai, models: { fast: gpt } } }\nmodels:\n  a: { targets: [{ model: fast, provider: p }, { model: gpt, provider: p }, { model: other, provider: p }] }",
    );
    expect(providers[0]?.models.map(({ name, model }) => [name, model])).toEqual([
      ["fast", "gpt"],
      [null, "other"],
    ]);
  });

  test.each([
    ["http in the open", provider('baseUrl: "http://host.example/v1"'), /must be https:\/\//],
    ["a key in the file", provider("apiKey: sk-live"), /must be env:NAME or file:PATH/],
    ["headers of ours", provider("headers: { Authorization: x }"), /is set by the gateway itself/],
    ["headers of framing", provider('headers: { Content-Length: "1" }'), /is set by the gateway itself/],
    ["nothing to serve", "providers: { p: { dialect: openai } }", /models.*is missing/],
    ["Azure without its address", provider('azure: { apiVersion: "2024-10-21" }'), /baseUrl/],
    ["a soft cap above the hard one", provider("spend: { day: { soft: 2, hard: 1 } }"), /must not be above `hard`/],
    ["a cap without prices", provider("spend: { day: { hard: 1 } }"), /"m" has no price/],
    ["an operation that is none", provider("operations: [ollama.chat]"), /operations/],
    ["an alias of nobody", "models: { a: { targets: [{ model: m, provider: q }] } }", /"q", which is no provider/],
    [
      "an alias of both",
      "models: { a: { targets: [{ model: m, provider: q, node: n }] } }",
      /a node and a provider; it can be at one of them only/,
    ],
  ])("refuse %s", (_what, yaml, expected) => {
    expect(fault(yaml)).toMatch(expected);
  });

  test("take the price of the public name, of the place or of an alias for a cap", () => {
    for (const rule of ["m", "provider/p/*", "*"]) {
      expect(
        load(`prices: { "${rule}": { input: 1, output: 1 } }\n${provider("spend: { day: { hard: 1 } }")}`).providers,
      ).toHaveLength(1);
    }
  });
});
