import type { Command } from "commander";
import type { AddressTest, ChangedRule, RuleView } from "../../admin/places-contract.ts";
import { formatRelative } from "../format.ts";
import type { CommandSet, Invocation } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

interface RuleOptions {
  name?: string;
  endpoint?: string;
  label?: string;
  purpose?: string;
  owner?: string;
  mayRotate?: boolean;
  expires?: string;
}

/** `access list|allow|deny|ambient|remove|test`. */
export function addAccessCommand(program: Command, commands: CommandSet): void {
  const access = program.command("access").description("Which addresses may use which endpoint.");

  commands.finish<{ endpoint?: string }>(
    access
      .command("list")
      .description("List the rules about addresses.")
      .option("--endpoint <name>", "only those that decide at this endpoint"),
    [
      ["postern access list", "all of them, those of postern.yaml too"],
      ["postern access list --endpoint vm --json", "what decides there, for scripts"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const all = await withAdmin(options, (admin) => admin.listRules());
      const { endpoint } = options;
      const shown = all.filter(
        (rule) => endpoint === undefined || rule.endpoint === null || rule.endpoint === endpoint,
      );
      output.result({ rules: shown }, (paint) =>
        shown.length === 0
          ? "No rules: every address may try its keys. Close an endpoint: postern access allow ADDRESS"
          : renderRules(shown, paint),
      );
      return undefined;
    },
  );

  commands.finish<RuleOptions>(
    ruleOptions(
      access
        .command("allow <range>")
        .description("Let an address or range in. With the first such rule, everybody who is not listed gets 403."),
    ),
    [
      ["postern access allow 203.0.113.7 --endpoint vm --label 'billing VM' --purpose egress", "one caller"],
      [
        "postern access allow 198.51.100.20 --label home --purpose 'backup, tests' --may-rotate --expires 30d",
        "an address that may change",
      ],
    ],
    (invocation) => make(invocation, "allow", null),
  );

  commands.finish<RuleOptions>(
    ruleOptions(
      access
        .command("deny <range>")
        .description("Keep an address or range out, whatever allows it, and end what it has running."),
    ),
    [["postern access deny 198.51.100.0/24 --label scanner --expires 7d", "for a week"]],
    (invocation) => make(invocation, "deny", null),
  );

  commands.finish<RuleOptions>(
    ruleOptions(
      access
        .command("ambient <range> <key>")
        .description(
          "Let a range stand for a key, for clients that cannot send one. A key that is sent always counts instead.",
        ),
    ),
    [["postern access ambient 192.168.1.0/24 ollama-clients", "Ollama clients at home, with the rights of that key"]],
    (invocation) => make(invocation, "ambient", invocation.args[1] ?? ""),
  );

  commands.finish(
    access.command("remove <rule>").description("Remove a rule, by name. It applies at once."),
    [["postern access remove deny-198.51.100.0-24", "let them in again"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const changed = await withAdmin(options, (admin) => admin.removeRule(args[0] ?? ""));
      say(changed, output);
      output.result(changed, () => `Rule "${changed.rule.name}" is removed.${ended(changed)}`);
      return undefined;
    },
  );

  commands.finish<{ endpoint?: string; key?: string }>(
    access
      .command("test <address>")
      .description("Say what would become of a request from an address, and why. Exit code 1: it would be refused.")
      .option("--endpoint <name>", "where it would ask", "default")
      .option("--key <key>", "the key that it would send, by id or name"),
    [
      ["postern access test 203.0.113.7 --endpoint vm", "which rule decides"],
      ["postern access test $(curl -s https://ai.example.org/.postern/ip) --key billing", "this machine, with a key"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const input = { address: args[0] ?? "", endpoint: options.endpoint, key: options.key };
      const tested = await withAdmin(options, (admin) => admin.testAddress(input));
      output.result(tested, (paint) => renderTest(tested, paint));
      return tested.isAllowed ? 0 : 1;
    },
  );
}

function ruleOptions(command: Command): Command {
  return command
    .option("--name <name>", "name of the rule; left out: made from what it says")
    .option("--endpoint <name>", "only at this endpoint; left out: everywhere")
    .option("--label <text>", "what it is, for people")
    .option("--purpose <text>", "what the address is there for")
    .option("--owner <text>", "who answers for it")
    .option("--may-rotate", "the address may change, so somebody has to follow")
    .option("--expires <duration>", 'time until it ends, like "12h" or "90d"; left out: never');
}

async function make(
  { options, args, output }: Invocation<RuleOptions>,
  effect: RuleView["effect"],
  key: string | null,
): Promise<undefined> {
  const { withAdmin } = await import("../admin-session.ts");
  const { readDuration } = await import("../read-options.ts");
  const { name, endpoint, label, purpose, owner, mayRotate = false } = options;
  const expiresInMs = options.expires === undefined ? null : readDuration("--expires", options.expires);
  const input = { effect, range: args[0] ?? "", key, name, endpoint, label, purpose, owner, mayRotate, expiresInMs };
  const changed = await withAdmin(options, (admin) => admin.createRule(input));
  say(changed, output);
  output.result(changed, () => {
    const { rule } = changed;
    return `Rule "${rule.name}": ${rule.effect} ${rule.range} at ${rule.endpoint ?? "every endpoint"}.${ended(changed)}`;
  });
  return undefined;
}

function say({ warnings }: ChangedRule, output: Invocation<unknown>["output"]): void {
  for (const warning of warnings) output.note(`Warning: ${warning}`, "yellow");
}

function ended({ streamsEnded }: ChangedRule): string {
  return streamsEnded === 0 ? "" : ` ${streamsEnded} running requests were ended.`;
}

const STYLES = { allow: "green", deny: "red", ambient: "yellow" } as const;

function renderRules(rules: readonly RuleView[], paint: Paint): string {
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "NAME", value: (rule) => rule.name },
      { title: "EFFECT", value: (rule) => rule.effect, style: (rule) => STYLES[rule.effect] },
      { title: "RANGE", value: (rule) => rule.range },
      { title: "ENDPOINT", value: (rule) => rule.endpoint ?? "all" },
      { title: "KEY", value: (rule) => rule.key },
      { title: "LABEL", value: (rule) => rule.label },
      { title: "PURPOSE", value: (rule) => rule.purpose },
      { title: "OWNER", value: (rule) => rule.owner },
      { title: "ROTATES", value: (rule) => (rule.mayRotate ? "may" : null) },
      {
        title: "EXPIRES",
        value: (rule) => (rule.expiresAtMs === null ? "never" : formatRelative(rule.expiresAtMs, nowMs)),
        style: (rule) => (rule.state === "expired" ? "red" : null),
      },
      { title: "FROM", value: (rule) => rule.place ?? "store" },
    ],
    rules,
    paint,
  );
}

function renderTest(test: AddressTest, paint: Paint): string {
  const head = test.isAllowed ? paint("green", "allowed") : paint("red", `refused (${test.errorCode})`);
  return [`${paint("bold", test.address)} ${head}`, ...test.words.map((line) => `  ${harmless(line)}`)].join("\n");
}
