import type { Command } from "commander";
import type { KeyView } from "../../admin/contract.ts";
import { formatRelative, formatTime } from "../format.ts";
import type { CommandSet } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

/** `keys create|list|show|revoke`. */
export function addKeysCommand(program: Command, commands: CommandSet): void {
  const keys = program.command("keys").description("Keys that callers authenticate with.");

  commands.finish<{ model?: string[]; expires?: string }>(
    keys
      .command("create <name>")
      .description("Make a key. It is shown once; only its SHA-256 is kept.")
      .option("--model <glob...>", "models it may use (names or globs); left out: all")
      .option("--expires <duration>", 'time until it stops working, like "12h" or "90d"; left out: never'),
    [
      ["postern keys create laptop", "a key for every model"],
      ["postern keys create ci --model 'llama*' --expires 12h", "only Llama models, for half a day"],
      ["KEY=$(postern keys create app --json | jq -r .secret)", "for scripts"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { readDuration } = await import("../read-options.ts");
      const expiresInMs = options.expires === undefined ? null : readDuration("--expires", options.expires);
      const input = { name: args[0] ?? "", models: options.model ?? null, expiresInMs };
      const created = await withAdmin(options, (admin) => admin.createKey(input));
      output.result(created, (paint) =>
        [
          `${paint("bold", created.secret)}`,
          "",
          paint("dim", `Key "${harmless(created.key.name)}" (${created.key.id}). It is not shown again; keep it now.`),
        ].join("\n"),
      );
      return undefined;
    },
  );

  commands.finish<{ all?: boolean }>(
    keys.command("list").description("List keys.").option("--all", "revoked and expired ones too"),
    [
      ["postern keys list", "keys that work now"],
      ["postern keys list --all --json", "all of them, for scripts"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const all = await withAdmin(options, (admin) => admin.listKeys());
      const shown = options.all === true ? all : all.filter((key) => key.state === "active");
      const hidden = all.length - shown.length;
      output.result({ keys: shown }, (paint) => {
        if (shown.length === 0) return `No keys${hidden > 0 ? " that work" : ""}. Make one: postern keys create NAME`;
        const note = hidden > 0 ? `\n${paint("dim", `${hidden} revoked or expired; --all shows them.`)}` : "";
        return `${renderKeys(shown, paint)}${note}`;
      });
      return undefined;
    },
  );

  commands.finish(
    keys.command("show <key>").description("Show one key, by id or name."),
    [["postern keys show laptop", "its models, expiry and state"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const key = await withAdmin(options, (admin) => admin.showKey(args[0] ?? ""));
      output.result(key, (paint) => renderKey(key, paint));
      return undefined;
    },
  );

  commands.finish(
    keys.command("revoke <key>").description("End a key at once, by id or name, and the streams that it opened."),
    [["postern keys revoke laptop", "it answers 401 within a second"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const key = await withAdmin(options, (admin) => admin.revokeKey(args[0] ?? ""));
      output.result(key, () => `Key "${harmless(key.name)}" (${key.id}) is revoked.`);
      return undefined;
    },
  );
}

function renderKeys(keys: readonly KeyView[], paint: Paint): string {
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "ID", value: (key) => key.id },
      { title: "NAME", value: (key) => key.name },
      { title: "STATE", value: (key) => key.state, style: (key) => (key.state === "active" ? "green" : "red") },
      { title: "MODELS", value: (key) => (key.models === null ? "all" : key.models.join(" ")) },
      { title: "CREATED", value: (key) => formatRelative(key.createdAtMs, nowMs) },
      {
        title: "EXPIRES",
        value: (key) => (key.expiresAtMs === null ? "never" : formatRelative(key.expiresAtMs, nowMs)),
      },
    ],
    keys,
    paint,
  );
}

function renderKey(key: KeyView, paint: Paint): string {
  const rows: Array<[string, string]> = [
    ["id", key.id],
    ["name", key.name],
    ["state", key.state],
    ["models", key.models === null ? "all" : key.models.join(" ")],
    ["created", formatTime(key.createdAtMs)],
    ["expires", key.expiresAtMs === null ? "never" : formatTime(key.expiresAtMs)],
    ...(key.revokedAtMs === null ? [] : [["revoked", formatTime(key.revokedAtMs)] as [string, string]]),
  ];
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(9))}${harmless(value)}`).join("\n");
}
