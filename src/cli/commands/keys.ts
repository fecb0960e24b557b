import type { Command } from "commander";
import type { AdminClient } from "../../admin/client.ts";
import type { CreatedKey, KeyView } from "../../admin/contract-keys.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { addPolicyOptions, type PolicyOptions, readPolicyOptions } from "../policy-options.ts";
import { renderKey, renderKeys } from "../render-key.ts";
import { harmless } from "../table.ts";

/** `keys create|list|show|update|rotate|disable|enable|revoke`. */
export function addKeysCommand(program: Command, commands: CommandSet): void {
  const keys = program.command("keys").description("Keys that callers authenticate with.");
  addCreate(keys, commands);
  addLists(keys, commands);
  addUpdate(keys, commands);
  addRotate(keys, commands);
  addSwitches(keys, commands);
}

function addCreate(keys: Command, commands: CommandSet): void {
  commands.finish<PolicyOptions & { template?: string }>(
    addPolicyOptions(
      keys
        .command("create <name>")
        .description("Make a key. It is shown once; only its SHA-256 is kept.")
        .option("--template <name>", "start from this policy of `access.templates`"),
    ),
    [
      ["postern keys create laptop", "a key for every model"],
      ["postern keys create ci --model 'llama*' --expires 12h", "only Llama models, for half a day"],
      ["postern keys create app --requests-per-minute 60 --budget tokens/day=800000:1000000", "with limits"],
      ["KEY=$(postern keys create app --json | jq -r .secret)", "for scripts"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const policy = readPolicyOptions(options, Date.now());
      const input = { name: args[0] ?? "", template: options.template ?? null, policy };
      const created = await withAdmin(options, (admin) => admin.createKey(input));
      output.result(created, (paint) => renderSecret(created, paint));
      return undefined;
    },
  );
}

function addLists(keys: Command, commands: CommandSet): void {
  commands.finish<{ all?: boolean }>(
    keys.command("list").description("List keys.").option("--all", "those that do not work now too"),
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
        const note = hidden > 0 ? `\n${paint("dim", `${hidden} that do not work now; --all shows them.`)}` : "";
        return `${renderKeys(shown, Date.now(), paint)}${note}`;
      });
      return undefined;
    },
  );

  commands.finish(
    keys.command("show <key>").description("Show one key, by id or name."),
    [["postern keys show laptop", "its policy, its state, and what it used today and this month"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const key = await withAdmin(options, (admin) => admin.showKey(args[0] ?? ""));
      output.result(key, (paint) => renderKey(key, paint));
      return undefined;
    },
  );
}

function addUpdate(keys: Command, commands: CommandSet): void {
  commands.finish<PolicyOptions & { name?: string; clear?: string[] }>(
    addPolicyOptions(
      keys
        .command("update <key>")
        .description("Change a key's policy, word by word. Running requests that the new policy refuses end at once.")
        .option("--name <name>", "another name")
        .option("--clear <word...>", 'words to take out of its policy, like "models" or "budgets"'),
    ),
    [
      ["postern keys update app --requests-per-minute 120", "one word changes, the others stay"],
      ["postern keys update app --clear budgets expiresAtMs", "no budgets any more, and no expiry"],
      ["postern keys update app --policy app.json", "the whole policy from a file"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const id = args[0] ?? "";
      const { version: _version, ...said } = readPolicyOptions(options, Date.now());
      const isPolicy = Object.keys(said).length > 0 || options.clear !== undefined || options.policy !== undefined;
      if (!isPolicy && options.name === undefined) throw usageError("Say what to change: see --help");
      const key = await withAdmin(options, async (admin) => {
        const base = options.policy === undefined && isPolicy ? await policyOf(admin, id, options.clear ?? []) : {};
        return admin.updateKey(id, {
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(isPolicy ? { policy: { version: 1, ...base, ...said } } : {}),
        });
      });
      output.result(key, (paint) => renderKey(key, paint));
      return undefined;
    },
  );
}

async function policyOf(admin: AdminClient, id: string, cleared: readonly string[]): Promise<Record<string, unknown>> {
  const policy = { ...(await admin.showKey(id)).policy };
  for (const word of cleared) {
    if (!(word in policy)) throw usageError(`--clear: the key's policy says nothing of ${JSON.stringify(word)}`);
    delete policy[word];
  }
  return policy;
}

function addRotate(keys: Command, commands: CommandSet): void {
  commands.finish<{ grace?: string }>(
    keys
      .command("rotate <key>")
      .description("Give a key another secret. It is shown once; the old one stays good for the grace.")
      .option(
        "--grace <duration>",
        "how long the old secret, and what it opened, lasts; `0s` ends both at once",
        "24h",
      ),
    [
      ["postern keys rotate app", "put the new secret into the app within a day"],
      ["postern keys rotate app --grace 0s", "the old secret was seen by somebody"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { readDuration } = await import("../read-options.ts");
      const { grace = "24h" } = options;
      const graceMs = /^0[a-z]*$/.test(grace) ? 0 : readDuration("--grace", grace);
      const rotated = await withAdmin(options, (admin) => admin.rotateKey(args[0] ?? "", { graceMs }));
      output.result(rotated, (paint) => renderSecret(rotated, paint));
      return undefined;
    },
  );
}

function addSwitches(keys: Command, commands: CommandSet): void {
  const switches = [
    {
      name: "disable",
      description: "Switch a key off, and end the streams that it opened. `keys enable` switches it on again.",
      example: "it answers 401 within a second",
      done: "is disabled",
      call: (admin: AdminClient, id: string) => admin.disableKey(id),
    },
    {
      name: "enable",
      description: "Switch a key on again.",
      example: "as it was before",
      done: "is enabled",
      call: (admin: AdminClient, id: string) => admin.enableKey(id),
    },
    {
      name: "revoke",
      description: "End a key at once and for good, by id or name, and the streams that it opened.",
      example: "it answers 401 within a second",
      done: "is revoked",
      call: (admin: AdminClient, id: string) => admin.revokeKey(id),
    },
  ];
  for (const { name, description, example, done, call } of switches) {
    commands.finish(
      keys.command(`${name} <key>`).description(description),
      [[`postern keys ${name} laptop`, example]],
      async ({ options, args, output }) => {
        const { withAdmin } = await import("../admin-session.ts");
        const key: KeyView = await withAdmin(options, (admin) => call(admin, args[0] ?? ""));
        output.result(key, () => `Key "${harmless(key.name)}" (${key.id}) ${done}.`);
        return undefined;
      },
    );
  }
}

function renderSecret({ key, secret }: CreatedKey, paint: Paint): string {
  const lines = [
    paint("bold", secret),
    "",
    paint("dim", `Key "${harmless(key.name)}" (${key.id}). It is not shown again; keep it now.`),
  ];
  if (key.previousUntilMs !== null) {
    lines.push(paint("dim", `The old secret works until ${new Date(key.previousUntilMs).toISOString()}.`));
  }
  return lines.join("\n");
}
