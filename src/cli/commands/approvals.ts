import type { Command } from "commander";
import type { ApprovalsView } from "../../admin/contract-continuity.ts";
import { formatRelative } from "../format.ts";
import { type CommandSet, type Invocation, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { renderTable } from "../table.ts";

type Waiting = ApprovalsView["waiting"][number];
type Grant = ApprovalsView["grants"][number];

interface ScopeOptions {
  workflow?: string;
  key?: string;
}

interface ApproveOptions extends ScopeOptions {
  for?: string;
}

/** `approvals list|approve|deny|revoke`. */
export function addApprovalsCommand(program: Command, commands: CommandSet): void {
  const approvals = program
    .command("approvals")
    .description("Requests of keys with `fallback: approval` that wait for an operator's yes to be served elsewhere.");

  commands.finish(
    approvals.command("list").description("List the requests that wait, and what is approved for a time."),
    [["postern approvals list", "who waits, since when, and until when"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const view = await withAdmin(options, (admin) => admin.approvals());
      output.result(view, (paint) => renderApprovals(view, paint));
      return undefined;
    },
  );

  commands.finish<ApproveOptions>(
    scopeOptions(
      approvals
        .command("approve [request]")
        .description("Let one request be served elsewhere, or a workflow or key for a time.")
        .option("--for <duration>", 'approve the workflow (or the key, where it has none) for so long, like "30m"'),
    ),
    [
      ["postern approvals approve 019ad0c4-1b2c-7def-8123-456789abcdef", "this one request"],
      [
        "postern approvals approve 019ad0c4-1b2c-7def-8123-456789abcdef --for 30m",
        "and all of its workflow for half an hour",
      ],
      ["postern approvals approve --workflow audit --for 30m", "the same, before anybody waits"],
    ],
    approve,
  );

  commands.finish(
    approvals.command("deny <request>").description("Refuse one request. It gets 403 `approval_denied`."),
    [["postern approvals deny 019ad0c4-1b2c-7def-8123-456789abcdef", "its caller is told that an operator decided"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const view = await withAdmin(options, (admin) => admin.deny(args[0] ?? ""));
      output.result(view, (paint) => renderApprovals(view, paint));
      return undefined;
    },
  );

  commands.finish<ScopeOptions>(
    scopeOptions(approvals.command("revoke").description("Take an approval for a time back. Requests that run go on.")),
    [["postern approvals revoke --workflow audit", "from now on each request asks again"]],
    async ({ options, output }) => {
      const scope = scopeOf(options);
      if (scope === null) throw usageError("Say whose: --workflow NAME or --key ID");
      const { withAdmin } = await import("../admin-session.ts");
      const view = await withAdmin(options, (admin) => admin.revokeApproval(scope));
      output.result(view, (paint) => renderApprovals(view, paint));
      return undefined;
    },
  );
}

async function approve({ options, args, output }: Invocation<ApproveOptions>): Promise<undefined> {
  const [request] = args;
  const scope = scopeOf(options);
  if ((request === undefined) === (scope === null)) {
    throw usageError(
      "Name either a request, or --workflow NAME or --key ID",
      "postern approvals list shows who waits.",
    );
  }
  const { readDuration } = await import("../read-options.ts");
  const forMs = options.for === undefined ? null : readDuration("--for", options.for);
  const { withAdmin } = await import("../admin-session.ts");
  const view = await withAdmin(options, (admin) => {
    if (scope === null) return admin.approve(request ?? "", forMs);
    if (forMs === null) throw usageError("--for is required with --workflow and --key: such an approval must end");
    return admin.grantApproval({ scope, forMs });
  });
  output.result(view, (paint) => renderApprovals(view, paint));
  return undefined;
}

function scopeOptions(command: Command): Command {
  return command
    .option("--workflow <name>", "a workflow, as keys have it")
    .option("--key <id>", "a key without a workflow, by its public id");
}

function scopeOf({ workflow, key }: ScopeOptions): string | null {
  if (workflow !== undefined && key !== undefined) throw usageError("--workflow and --key exclude each other");
  return workflow ?? (key === undefined ? null : `key:${key}`);
}

function renderApprovals({ waiting, grants }: ApprovalsView, paint: Paint): string {
  const nowMs = Date.now();
  const parts: string[] = [];
  if (waiting.length === 0) parts.push("No request waits for an approval.");
  else {
    const columns = [
      { title: "REQUEST", value: (one: Waiting) => one.id },
      { title: "FOR", value: (one: Waiting) => one.scope },
      { title: "KEY", value: (one: Waiting) => one.keyId },
      { title: "MODEL", value: (one: Waiting) => one.model },
      { title: "TO", value: (one: Waiting) => (one.to === "cloud" ? "the cloud" : "own machines") },
      { title: "SINCE", value: (one: Waiting) => formatRelative(one.sinceMs, nowMs) },
      { title: "REFUSED", value: (one: Waiting) => formatRelative(one.untilMs, nowMs) },
    ];
    parts.push(renderTable(columns, waiting, paint));
  }
  if (grants.length > 0) {
    const columns = [
      { title: "APPROVED", value: (one: Grant) => one.scope },
      { title: "BY", value: (one: Grant) => one.by },
      { title: "ENDS", value: (one: Grant) => formatRelative(one.untilMs, nowMs) },
    ];
    parts.push(renderTable(columns, grants, paint));
  }
  return parts.join("\n\n");
}
