import fc from "fast-check";
import { expect, test } from "vitest";
import { directNode } from "../../test/support/gateway-config.ts";
import type { Status } from "../admin/contract-status.ts";
import type { UsageReport } from "../admin/contract-usage.ts";
import { defaultConfig } from "../config/defaults.ts";
import { chooseEngines } from "./choose-engines.ts";
import { renderStatus } from "./commands/status.ts";
import { renderCsv, renderUsage } from "./commands/usage.ts";
import { formatBytes, formatRelative } from "./format.ts";
import { localNodeName } from "./local-node-name.ts";
import { readCount, readMoment } from "./read-options.ts";
import { renderContinuity } from "./render-continuity.ts";
import { harmless, renderTable } from "./table.ts";
import { curlLine, renderServing } from "./up-result.ts";

const plain = (_style: unknown, text: string): string => text;

test("renderTable() aligns columns and sets the total apart", () => {
  const columns = [
    { title: "NAME", value: (row: [string, number]) => row[0] },
    { title: "N", value: (row: [string, number]) => row[1], align: "right" as const },
  ];
  expect(
    renderTable(
      columns,
      [
        ["a", 1],
        ["long", 1000],
      ],
      plain,
      ["total", 1001],
    ),
  ).toBe(["NAME      N", "a         1", "long   1000", "─────  ────", "total  1001"].join("\n"));
});

test("renderTable() lets no name reach the terminal's control", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (name) => {
      const text = renderTable([{ title: "T", value: () => name }], [null], plain);
      return text.split("\n").length === 2 && !/[\p{Cc}\p{Cf}]/u.test(text.replaceAll("\n", ""));
    }),
  );
  expect(harmless("a\u001b[31mb\u202Ec")).toBe("a\uFFFD[31mb\uFFFDc");
});

const row = {
  group: "id1",
  label: 'lap"top, =1',
  requests: 1234,
  failed: 1,
  aborted: 0,
  tokensIn: 10,
  tokensInCached: 2,
  tokensOut: 5,
  tokensReasoning: 0,
  estimated: 1,
  timeToFirstTokenMs: 12.4,
  tokensPerSecond: 33.33,
  costMicros: 0,
};
const { group: _group, label: _label, timeToFirstTokenMs: _first, tokensPerSecond: _speed, ...total } = row;
const report: UsageReport = { by: "key", sinceMs: 0, untilMs: 60_000, rows: [row], total };

test("renderUsage() has a total and says which counts are estimates", () => {
  const text = renderUsage(report, plain);
  expect(text).toMatch(/^KEY\s+REQUESTS/);
  expect(text).toMatch(/total\s+1,234\s+1\s+0\s+10\s+5/);
  expect(text).toContain("of 1 requests are estimates");
  expect(renderUsage({ ...report, rows: [] }, plain)).toMatch(/^No requests/);
});

test("renderUsage() has a column for thinking where an engine told of any, and none otherwise", () => {
  const thinking = renderUsage(
    { ...report, rows: [{ ...row, tokensReasoning: 4 }], total: { ...total, tokensReasoning: 4 } },
    plain,
  );
  expect(thinking).toMatch(/TOKENS OUT\s+OF THEM THINKING/);
  expect(thinking).toMatch(/total\s+1,234\s+1\s+0\s+10\s+5\s+4/);
  expect(renderUsage(report, plain)).not.toContain("THINKING");
});

test("renderCsv() quotes as RFC 4180 says and disarms formulas", () => {
  expect(renderCsv(report).split("\r\n")).toEqual([
    "key,label,requests,failed,aborted,tokensIn,tokensInCached,tokensOut,tokensReasoning,estimated,timeToFirstTokenMs,tokensPerSecond,costMicros",
    'id1,"lap""top, =1",1234,1,0,10,2,5,0,1,12.4,33.33,0',
  ]);
  expect(renderCsv({ ...report, rows: [{ ...row, label: "=HYPERLINK(1)" }] })).toContain("id1,'=HYPERLINK(1),");
});

test("formats are short and exact enough", () => {
  expect([0, 512, 1024, 5e9].map(formatBytes)).toEqual(["0 B", "512 B", "1.0 KiB", "4.7 GiB"]);
  expect([0, 90_000, -7_200_000].map((ms) => formatRelative(1e12 - ms, 1e12))).toEqual(["now", "1 min ago", "in 2 h"]);
});

test("readMoment() takes spans back from now, days and times in UTC", () => {
  expect(readMoment("--since", "24h", 1e12)).toBe(1e12 - 86_400_000);
  expect(readMoment("--since", "2026-11-01", 0)).toBe(Date.UTC(2026, 10, 1));
  expect(readMoment("--since", "2026-11-01T12:30", 0)).toBe(Date.UTC(2026, 10, 1, 12, 30));
  for (const text of ["", "yesterday", "2026-13-01", "2026-11", "1.5h"]) {
    expect(() => readMoment("--since", text, 0), text).toThrow(/--since must be/);
  }
  for (const text of ["0", "-1", "1.5", "x", ""]) expect(() => readCount("--max", text), text).toThrow(/--max must be/);
});

test("chooseEngines() does what --engine and --model say, and refuses contradictions", () => {
  const { agent } = defaultConfig("/data");
  expect(chooseEngines(agent, {})).toEqual(agent);
  expect(chooseEngines(agent, { engine: "none" })).toMatchObject({ discover: true, embedded: { mode: "none" } });
  expect(chooseEngines(agent, { engine: "http://10.0.0.2:8000/" })).toMatchObject({
    discover: false,
    engines: [{ name: "engine", url: "http://10.0.0.2:8000" }],
    embedded: { mode: "none" },
  });
  expect(chooseEngines(agent, { model: "/m/a.gguf" }).embedded).toEqual({ mode: "always", modelPath: "/m/a.gguf" });
  expect(() => chooseEngines(agent, { engine: "none", model: "a.gguf" })).toThrow(/rules out/);
  expect(() => chooseEngines(agent, { engine: "http://user:hunter2@x/" })).toThrow(/^(?!.*hunter2)/);
});

test("localNodeName() makes a node's name of any host's", () => {
  const { agent } = defaultConfig("/data");
  const file = directNode("forge", "http://10.0.0.2");
  const names = ["Adas-MacBook.local", "forge", "__", "ünïcode_host", `${"a".repeat(39)}-b`];
  expect(names.map((host) => localNodeName({ agent, nodes: [file] }, host))).toEqual([
    "adas-macbook",
    "forge-local",
    "this-local",
    "n-code-host",
    "a".repeat(39),
  ]);
  expect(localNodeName({ agent: { ...agent, node: "named" }, nodes: [] }, "x")).toBe("named");
});

test("renderServing() shows the key once, a curl line that a shell reads as one command, and the reason for no model", () => {
  const serving = {
    baseUrl: "http://127.0.0.1:8400/v1",
    adminUrl: "http://127.0.0.1:8401",
    apiKey: "pst_k",
    models: ["it's"],
    modelsReason: null,
    node: "n",
  };
  expect(renderServing(serving, plain)).toContain("pst_k");
  expect(renderServing({ ...serving, apiKey: null }, plain)).toContain("$POSTERN_KEY");
  expect(renderServing({ ...serving, models: [], modelsReason: "No engine." }, plain)).toMatch(
    /no model answers yet[\s\S]*No engine\./,
  );
  expect(renderServing({ ...serving, models: ["postern-demo"] }, plain)).toContain("not intelligence");
  expect(curlLine(serving.baseUrl, null, "it's")).toContain(`"model":"it'\\''s"`);
});

const well: Status = {
  version: "1",
  gateway: {
    pid: 1,
    startedAtMs: 0,
    publicUrl: "http://127.0.0.1:8400",
    adminUrl: null,
    ready: true,
    reasons: [],
    isDraining: false,
    config: { loadedAtMs: 1, problem: null, needsRestart: [] },
    breakers: [],
    providers: [],
    requestsActive: 0,
    queues: [],
    links: 2,
    listeners: [],
  },
  dataFolder: "/data",
  configFile: null,
  keys: { active: 1, total: 1 },
  nodes: { connected: 1, total: 1 },
  models: { ready: 2, total: 2 },
  engineAdvisories: [],
  nodesAway: [],
  contingency: [],
  drills: { running: null, overdue: [] },
  alerts: [],
  storeTrouble: null,
  ledgerTrouble: null,
};

test("renderStatus() names targets whose breaker is open, and when they are tried again", () => {
  const { gateway } = well;
  if (gateway === null) throw new Error("no gateway");
  const target = "node/forge/ollama/llama3";
  const open = { target, state: "open", reason: "engine_unreachable", probeAtMs: Date.now() + 29_900 } as const;
  const probed = { target, state: "half-open", reason: null, probeAtMs: 0 } as const;
  const text = renderStatus({ ...well, gateway: { ...gateway, breakers: [open, probed] } }, plain);
  expect(text).toContain(`breaker   ${target}: open (engine_unreachable), tried again in 29 s`);
  expect(text).toContain(`${target}: half-open, a probe is under way`);
});

// A gateway without a node, and one whose engine had died, said "0 ready of 0" and "6 ready of 7" and nothing to do about it.
test("renderStatus() names the next command for what is missing", () => {
  const line = (status: Status, name: string) =>
    renderStatus(status, plain)
      .split("\n")
      .find((one) => one.startsWith(name));
  expect(line(well, "models")).toBe("models    2 ready of 2");
  expect(line(well, "nodes")).toBe("nodes     1 connected of 1");
  expect(line({ ...well, models: { ready: 1, total: 2 } }, "models")).toMatch(/1 ready of 2 .*postern models list/);
  expect(line({ ...well, models: { ready: 0, total: 0 } }, "models")).toMatch(/postern nodes list/);
  expect(line({ ...well, nodes: { connected: 0, total: 0 } }, "nodes")).toMatch(/postern nodes invite NAME/);
  expect(line({ ...well, nodes: { connected: 0, total: 1 } }, "nodes")).toMatch(/postern nodes list/);
  expect(line({ ...well, nodes: { connected: 0, total: 1 }, models: { ready: 0, total: 1 } }, "models")).toBe(
    "models    0 ready of 1",
  );
  expect(line({ ...well, keys: { active: 0, total: 1 } }, "keys")).toMatch(/postern keys create NAME/);
  expect(line({ ...well, gateway: null, nodes: { connected: 0, total: 0 } }, "nodes")).toBe(
    "nodes     0 connected of 0",
  );
});

test("renderStatus() says who can reach each listener and what they need, and what is wrong with a certificate", () => {
  const listeners: NonNullable<Status["gateway"]>["listeners"] = [
    {
      name: "public",
      address: "0.0.0.0:443",
      reach: "everywhere",
      tls: "acme",
      needs: "a key",
      certificate: { names: ["ai.example.org"], notAfterMs: Date.UTC(2027, 0, 2), problem: "refused", nextTryAtMs: 1 },
    },
    { name: "admin", address: "127.0.0.1:8401", reach: "machine", tls: "none", needs: "nothing", certificate: null },
  ];
  const { gateway } = well;
  const text = renderStatus({ ...well, gateway: gateway === null ? null : { ...gateway, listeners } }, plain);
  expect(text).toMatch(
    /reach +public 0\.0\.0\.0:443: every network .*certificate by ACME until 2027-01-02; needs a key/,
  );
  expect(text).toMatch(/reach +admin 127\.0\.0\.1:8401: this machine alone, no TLS; needs nothing/);
  expect(text).toMatch(/trouble +certificate of public not renewed: refused/);
});

test("renderStatus() says what fires and where to read what to do about it, a long list cut short", () => {
  const alert = { id: "a", rule: "node-away", severity: "critical", summary: "The node forge is away" };
  expect(renderStatus(well, plain)).not.toContain("alert");
  const text = renderStatus({ ...well, alerts: Array(7).fill(alert) }, plain);
  expect(text.match(/^alert +critical, node-away: The node forge is away$/gm)).toHaveLength(5);
  expect(text).toContain("2 more; what to do: postern alerts list");
});

test("renderContinuity() marks what stands alone, and says for how many keys somebody stands in", () => {
  const loss = (what: string, left: string[], served: number, waiting = 0, refused = 0) => {
    return { what, left, served, waiting, refused };
  };
  const text = renderContinuity(
    {
      models: [
        {
          model: "chat",
          targets: [
            { label: "node/forge", isReady: true },
            { label: "provider/cloud", isReady: true },
            { label: "node/attic", isReady: false },
          ],
          keys: 3,
          losses: [
            loss("node/forge", ["provider/cloud"], 1, 1, 1),
            loss("provider/cloud", ["node/forge"], 3),
            loss("the gateway", [], 0, 0, 3),
          ],
          singlePoints: ["node/forge", "the gateway"],
        },
        { model: "gone", targets: [], keys: 0, losses: [], singlePoints: [] },
      ],
    },
    plain,
  );
  expect(text).toContain("chat: node/forge, provider/cloud, node/attic (away); 3 keys can use it now");
  expect(text).toMatch(
    /without node\/forge +provider\/cloud: 1 key served, 1 key must wait for an approval, 1 key refused/,
  );
  expect(text).toMatch(/without the gateway +nobody is served: run a second one/);
  expect(text).toContain("nothing serves it now");
});
