import type { Command } from "commander";
import type {
  AlertHistoryPage,
  AlertList,
  AlertRuleView,
  AlertTest,
  SilenceInput,
  SilenceView,
} from "../../admin/contract-alerts.ts";
import { formatDuration } from "../../lib/duration.ts";
import { formatRelative, formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

/** Alerts that `list --history` shows unless more are asked for; the API gives at most 200 at one time. */
const DEFAULT_LIMIT = 50;
const MAX_LIMIT = 200;

/** `alerts list|rules|test|silence|unsilence|ack`. */
export function addAlertsCommand(program: Command, commands: CommandSet): void {
  const alerts = program.command("alerts").description("What is wrong, and who is told of it.");

  commands.finish<{ history?: boolean; rule?: string; since?: string; limit?: string }>(
    alerts
      .command("list")
      .description("Show what fires now, silences and how the channels do; or what fired before.")
      .option("--history", "what fired before, newest first, with what became of the messages")
      .option("--rule <rule>", "with --history: only of this rule")
      .option("--since <when>", 'with --history: only since then: a span back like "24h", or a day like "2026-11-01"')
      .option("--limit <n>", `with --history: how many (default ${DEFAULT_LIMIT}, at most ${MAX_LIMIT})`),
    [
      ["postern alerts list", "is anything wrong?"],
      ["postern alerts list --history --since 7d --rule node-away", "how often a machine was away this week"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      if (options.history !== true) {
        const given = (["rule", "since", "limit"] as const).find((name) => options[name] !== undefined);
        if (given !== undefined) throw usageError(`--${given} is for --history`);
        const list = await withAdmin(options, (admin) => admin.alerts.list());
        output.result(list, (paint) => renderList(list, paint, Date.now()));
        return undefined;
      }
      const { readCount, readMoment } = await import("../read-options.ts");
      const limit = options.limit === undefined ? DEFAULT_LIMIT : readCount("--limit", options.limit);
      if (limit > MAX_LIMIT) throw usageError(`--limit must be at most ${MAX_LIMIT}, got ${limit}`);
      const query = {
        limit,
        ...(options.rule === undefined ? {} : { rule: options.rule as SilenceInput["rule"] & AlertRuleView["name"] }),
        ...(options.since === undefined ? {} : { sinceMs: readMoment("--since", options.since, Date.now()) }),
      };
      const page = await withAdmin(options, (admin) => admin.alerts.history(query));
      output.result(page, (paint) => renderHistory(page, paint));
      return undefined;
    },
  );

  commands.finish(
    alerts.command("rules").description("Show every rule as it is set: when it fires, and how urgent it is."),
    [["postern alerts rules", "what is watched"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const rules = await withAdmin(options, (admin) => admin.alerts.rules());
      output.result({ rules }, (paint) => renderRules(rules, paint));
      return undefined;
    },
  );

  commands.finish(
    alerts
      .command("test [channel]")
      .description("Send a marked test on a channel, or on all. Exit code 1 when one was not delivered."),
    [
      ["postern alerts test", "does every channel work?"],
      ["postern alerts test phone", "only this one"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const test = await withAdmin(options, (admin) => admin.alerts.test(args[0] ?? null));
      output.result(test, (paint) => renderTest(test, paint));
      return test.results.every((one) => one.isDelivered) ? 0 : 1;
    },
  );

  commands.finish<{ for?: string; reason?: string; key?: string }>(
    alerts
      .command("silence <rule>")
      .description('Tell nobody of a rule for a time; "*" is every rule. What fires is still listed.')
      .requiredOption("--for <duration>", 'how long, like "2h"')
      .requiredOption("--reason <text>", "why, for whoever looks later")
      .option("--key <key>", "only what it finds of this, like a node's name"),
    [
      ["postern alerts silence node-away --key forge --for 2h --reason 'new GPU'", "during work on one machine"],
      ["postern alerts silence '*' --for 30m --reason 'moving house'", "everything, for half an hour"],
    ],
    async ({ options, args, output }) => {
      const { readDuration } = await import("../read-options.ts");
      const { withAdmin } = await import("../admin-session.ts");
      const input = {
        rule: (args[0] ?? "") as SilenceInput["rule"],
        forMs: readDuration("--for", options.for ?? ""),
        reason: options.reason ?? "",
        ...(options.key === undefined ? {} : { key: options.key }),
      };
      const silence = await withAdmin(options, (admin) => admin.alerts.silence(input));
      output.result(silence, (paint) => renderSilence(silence, paint));
      return undefined;
    },
  );

  commands.finish(
    alerts.command("unsilence <id>").description("End a silence. What fires is told of, if it was not."),
    [["postern alerts unsilence 3f0c…", "the work is done"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const silence = await withAdmin(options, (admin) => admin.alerts.unsilence(args[0] ?? ""));
      output.result(silence, () => `The silence of ${silence.rule} is over.`);
      return undefined;
    },
  );

  commands.finish<{ note?: string }>(
    alerts
      .command("ack <id>")
      .description("Say that you look after an alert: it is not repeated until it resolves.")
      .option("--note <text>", "what you are doing about it"),
    [["postern alerts ack 0193… --note 'on my way'", "no more repeats of this one"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const done = await withAdmin(options, (admin) => admin.alerts.acknowledge(args[0] ?? "", options.note ?? null));
      output.result(done, () => `Acknowledged by ${harmless(done.ack.by)} at ${formatTime(done.ack.atMs)}.`);
      return undefined;
    },
  );
}

/** Exported for its test. */
export function renderList(list: AlertList, paint: Paint, nowMs: number): string {
  const { firing, pending, silences, channels, heartbeat } = list;
  const parts: string[] = [];
  if (firing.length === 0) parts.push(paint("green", "Nothing fires."));
  for (const one of firing) {
    const marks = [
      one.silencedBy === null ? "" : " (silenced)",
      one.ack === null ? "" : ` (acknowledged by ${one.ack.by})`,
    ].join("");
    parts.push(
      [
        `${paint(one.severity === "critical" ? "red" : "yellow", harmless(one.severity))}  ${harmless(one.summary)}, ${formatRelative(one.firedAtMs, nowMs)}${harmless(marks)}`,
        paint("dim", `  ${harmless(one.rule)}  ${one.id}`),
        ...(one.nextStep === "" ? [] : [`  Next step: ${one.nextStep}`]),
      ].join("\n"),
    );
  }
  if (pending.length > 0) {
    parts.push(
      pending
        .map((one) =>
          paint("dim", `Not long enough yet: ${harmless(one.summary)}, ${formatRelative(one.sinceMs, nowMs)}`),
        )
        .join("\n"),
    );
  }
  if (silences.length > 0) parts.push(silences.map((one) => renderSilence(one, paint)).join("\n"));
  parts.push(
    channels.length === 0
      ? paint("dim", "No channels: nobody is told. docs/guide/alerts.md says how to add one.")
      : renderTable(
          [
            { title: "CHANNEL", value: (one) => one.name },
            { title: "TYPE", value: (one) => one.type },
            { title: "FROM", value: (one) => one.severity },
            { title: "RULES", value: (one) => one.rules?.join(" ") ?? "all" },
            { title: "WAITING", value: (one) => one.waiting, align: "right" },
            { title: "LAST", value: (one) => (one.last === null ? "none yet" : formatRelative(one.last.atMs, nowMs)) },
            {
              title: "TROUBLE",
              value: (one) => one.trouble ?? "none",
              style: (one) => (one.trouble === null ? null : "red"),
            },
          ],
          channels,
          paint,
        ),
  );
  if (heartbeat !== null) {
    const last = heartbeat.lastAtMs === null ? "none yet" : `last ${formatRelative(heartbeat.lastAtMs, nowMs)}`;
    const trouble = heartbeat.trouble === null ? "" : paint("red", `, ${harmless(heartbeat.trouble)}`);
    parts.push(`Heartbeat every ${formatDuration(heartbeat.everyMs)}: ${last}${trouble}`);
  }
  return parts.join("\n\n");
}

function renderSilence({ id, rule, key, reason, createdBy, untilMs }: SilenceView, paint: Paint): string {
  const what = key === null ? rule : `${rule} ${key}`;
  return `Silent until ${formatTime(untilMs)}: ${harmless(what)} (${harmless(reason)}, ${harmless(createdBy)})\n${paint("dim", `  end it: postern alerts unsilence ${id}`)}`;
}

function renderHistory({ alerts }: AlertHistoryPage, paint: Paint): string {
  if (alerts.length === 0) return "No alerts.";
  return renderTable(
    [
      { title: "FIRED", value: (one) => formatTime(one.firedAtMs) },
      { title: "RESOLVED", value: (one) => (one.resolvedAtMs === null ? "fires" : formatTime(one.resolvedAtMs)) },
      { title: "SEVERITY", value: (one) => one.severity, style: (one) => (one.severity === "critical" ? "red" : null) },
      { title: "RULE", value: (one) => one.rule },
      { title: "WHAT", value: (one) => one.summary },
      { title: "TOLD", value: (one) => toldOf(one.deliveries) },
    ],
    alerts,
    paint,
  );
}

/** `ops, phone; not mail`. */
function toldOf(deliveries: AlertHistoryPage["alerts"][number]["deliveries"]): string {
  const taken = new Set(deliveries.filter((one) => one.isDelivered).map((one) => one.channel));
  const missed = new Set(deliveries.map((one) => one.channel).filter((name) => !taken.has(name)));
  const parts = [[...taken].join(", "), missed.size === 0 ? "" : `not ${[...missed].join(", ")}`];
  return parts.filter((part) => part !== "").join("; ") || "nobody";
}

function renderRules(rules: readonly AlertRuleView[], paint: Paint): string {
  return renderTable(
    [
      { title: "RULE", value: (one) => one.name, style: (one) => (one.enabled ? null : "dim") },
      { title: "SEVERITY", value: (one) => (one.enabled ? one.severity : "off") },
      { title: "FOR", value: (one) => formatDuration(one.forMs) },
      { title: "THRESHOLD", value: (one) => thresholdOf(one) },
      { title: "FIRES WHEN", value: (one) => one.meaning },
    ],
    rules,
    paint,
  );
}

function thresholdOf({ threshold, windowMs }: AlertRuleView): string | null {
  if (threshold === null) return null;
  const { unit, value } = threshold;
  const text =
    unit === "duration"
      ? formatDuration(value)
      : unit === "share"
        ? `${Math.round(value * 1000) / 10}%`
        : String(value);
  return windowMs === null ? text : `${text} in ${formatDuration(windowMs)}`;
}

function renderTest({ results }: AlertTest, paint: Paint): string {
  return results
    .map(({ channel, type, isDelivered, detail, nextStep }) => {
      const verdict = isDelivered ? paint("green", "delivered") : paint("red", "not delivered");
      const next = nextStep === null ? "" : `\n  Next step: ${nextStep}`;
      return `${channel} (${type}): ${verdict}, ${harmless(detail)}${next}`;
    })
    .join("\n");
}
