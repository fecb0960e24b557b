import { expect, test } from "vitest";
import type { AlertList } from "../admin/contract-alerts.ts";
import { renderList } from "./commands/alerts.ts";

const NOW_MS = 1_700_000_000_000;
const plain = (_style: unknown, text: string): string => text;

const nothing: AlertList = { firing: [], pending: [], silences: [], channels: [], heartbeat: null };

test("renderList() says that nothing fires, and that nobody would be told", () => {
  expect(renderList(nothing, plain, NOW_MS)).toBe(
    "Nothing fires.\n\nNo channels: nobody is told. docs/guide/alerts.md says how to add one.",
  );
});

test("renderList() shows what fires with its id and the next step, who looks after it, silences, channels and heartbeat", () => {
  const text = renderList(
    {
      firing: [
        {
          id: "a1",
          rule: "node-away",
          key: "forge",
          severity: "critical",
          summary: "Node forge\u001b[31m is away",
          labels: {},
          startedAtMs: NOW_MS - 120_000,
          firedAtMs: NOW_MS - 60_000,
          resolvedAtMs: null,
          toldAtMs: null,
          ack: { atMs: NOW_MS, by: "user ada", note: null },
          nextStep: "Look at it.",
          silencedBy: "s1",
        },
      ],
      pending: [{ rule: "store", key: "store", summary: "The disk is full", sinceMs: NOW_MS - 5_000 }],
      silences: [
        {
          id: "s1",
          rule: "node-away",
          key: "forge",
          reason: "new GPU",
          createdBy: "user ada",
          createdAtMs: NOW_MS,
          untilMs: NOW_MS + 3_600_000,
        },
      ],
      channels: [
        {
          name: "ops",
          type: "slack",
          severity: "info",
          rules: ["store"],
          waiting: 2,
          last: { atMs: NOW_MS - 60_000, isDelivered: false, detail: "x" },
          trouble: "it answered with HTTP 500",
        },
      ],
      heartbeat: { everyMs: 60_000, lastAtMs: null, trouble: "the connection was refused" },
    },
    plain,
    NOW_MS,
  );
  expect(text.split("\n")).toEqual([
    "critical  Node forge\uFFFD[31m is away, 1 min ago (silenced) (acknowledged by user ada)",
    "  node-away  a1",
    "  Next step: Look at it.",
    "",
    "Not long enough yet: The disk is full, 5 s ago",
    "",
    "Silent until 2023-11-14 23:13Z: node-away forge (new GPU, user ada)",
    "  end it: postern alerts unsilence s1",
    "",
    "CHANNEL  TYPE   FROM  RULES  WAITING  LAST       TROUBLE",
    "ops      slack  info  store        2  1 min ago  it answered with HTTP 500",
    "",
    "Heartbeat every 1m: none yet, the connection was refused",
  ]);
});
