import type { Command } from "commander";
import type { AuditEntryView, AuditVerdictView } from "../../admin/contract-records.ts";
import { csvRow } from "../csv.ts";
import { formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

/** Entries that `list` shows unless more are asked for. */
const DEFAULT_LIMIT = 50;
/** Entries fetched at one time; the API gives no more. */
const PAGE = 200;

/** `audit list|verify|export`. */
export function addAuditCommand(program: Command, commands: CommandSet): void {
  const audit = program.command("audit").description("Who changed what, and who was refused.");

  commands.finish<{ actor?: string; action?: string; since?: string; limit?: string }>(
    audit
      .command("list")
      .description("List the audit trail, newest first.")
      .option("--actor <actor>", 'only by this one, like "token 1a2b3c4d5e6f" or "socket uid 0"')
      .option("--action <action>", 'only this, like "keys.create" or "refused"')
      .option("--since <when>", 'only since then: a span back like "24h", or a day like "2026-11-01"')
      .option("--limit <n>", `how many (default ${DEFAULT_LIMIT})`),
    [
      ["postern audit list --since 24h", "what was changed today"],
      ["postern audit list --action refused", "who was not let in"],
    ],
    async ({ options, output }) => {
      const { readCount, readMoment } = await import("../read-options.ts");
      const { withAdmin } = await import("../admin-session.ts");
      const { actor, action, since } = options;
      const limit = options.limit === undefined ? DEFAULT_LIMIT : readCount("--limit", options.limit);
      const query = {
        ...(actor === undefined ? {} : { actor }),
        ...(action === undefined ? {} : { action }),
        ...(since === undefined ? {} : { sinceMs: readMoment("--since", since, Date.now()) }),
      };
      const entries = await withAdmin(options, async (admin) => {
        const found: AuditEntryView[] = [];
        for await (const page of pages((before) =>
          admin.listAudit({ ...query, ...before, limit: Math.min(PAGE, limit - found.length) }),
        )) {
          found.push(...page);
          if (found.length >= limit) break;
        }
        return found;
      });
      output.result({ entries }, (paint) => (entries.length === 0 ? "No entries." : renderEntries(entries, paint)));
      return undefined;
    },
  );

  commands.finish<{ anchor?: string }>(
    audit
      .command("verify")
      .description("Check that nothing in the trail was changed, removed or moved. Exit code 1 when something was.")
      .option("--anchor <seq:hash>", "the head of an earlier check, kept elsewhere: the trail must still hold it"),
    [
      ["postern audit verify", "prints the head; keep it on another machine"],
      ["postern audit verify --anchor 1042:9f86d08188…", "finds also a trail that was written anew"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const verdict = await withAdmin(options, (admin) => admin.verifyAudit(options.anchor));
      output.result(verdict, (paint) => renderVerdict(verdict, paint));
      return verdict.fault === null ? 0 : 1;
    },
  );

  commands.finish<{ csv?: boolean }>(
    audit
      .command("export")
      .description("Print the whole trail, newest first, as JSON or CSV.")
      .option("--csv", "comma-separated values instead of JSON"),
    [
      ["postern audit export > audit.json", "everything, with hashes"],
      ["postern audit export --csv > audit.csv", "for a spreadsheet"],
    ],
    async ({ options, output }) => {
      if (options.csv === true && output.isJson) throw usageError("--csv and --json exclude each other");
      const { withAdmin } = await import("../admin-session.ts");
      await withAdmin(options, async (admin) => {
        const all = pages((before) => admin.listAudit({ ...before, limit: PAGE }));
        for await (const piece of options.csv === true ? toCsv(all) : toJson(all)) output.piece(piece);
      });
      return undefined;
    },
  );
}

type Pages = AsyncIterable<readonly AuditEntryView[]>;

async function* pages(
  fetch: (before: { before?: number }) => Promise<{ entries: AuditEntryView[]; next: number | null }>,
): AsyncGenerator<AuditEntryView[]> {
  let next: number | null = null;
  do {
    const page: { entries: AuditEntryView[]; next: number | null } = await fetch(next === null ? {} : { before: next });
    yield page.entries;
    next = page.next;
  } while (next !== null);
}

/** One JSON value, in pieces: a long trail is never in memory as a whole. Exported for its test. */
export async function* toJson(pages: Pages): AsyncGenerator<string> {
  let separator = '{"entries":[';
  for await (const page of pages) {
    for (const entry of page) {
      yield `${separator}${JSON.stringify(entry)}`;
      separator = ",\n";
    }
  }
  yield separator === ",\n" ? "]}\n" : '{"entries":[]}\n';
}

/** Rows of RFC 4180. Exported for its test. */
export async function* toCsv(pages: Pages): AsyncGenerator<string> {
  yield csvRow(["seq", "time", "actor", "name", "address", "action", "subject", "before", "after", "hash"]);
  for await (const page of pages) {
    for (const { seq, atMs, actor, action, subject, before, after, hash } of page) {
      const { kind, id, name, address } = actor;
      const time = new Date(atMs).toISOString();
      const who = [`${kind} ${id ?? name}`, name, address ?? ""];
      yield csvRow([seq, time, ...who, action, subject, JSON.stringify(before), JSON.stringify(after), hash]);
    }
  }
}

function renderEntries(entries: readonly AuditEntryView[], paint: Paint): string {
  return renderTable(
    [
      { title: "SEQ", value: (one) => one.seq, align: "right" },
      { title: "TIME", value: (one) => formatTime(one.atMs) },
      { title: "WHO", value: (one) => describeActor(one) },
      { title: "FROM", value: (one) => one.actor.address },
      {
        title: "WHAT",
        value: (one) => one.action,
        style: (one) => (one.action.startsWith("refused") ? "yellow" : null),
      },
      { title: "TO", value: (one) => one.subject },
    ],
    entries,
    paint,
  );
}

function describeActor({ actor: { kind, id, name } }: AuditEntryView): string {
  return id === null || name === kind ? `${kind} ${id ?? name}` : `${kind} ${name} (${id.slice(0, 12)})`;
}

/** Exported for its test. */
export function renderVerdict({ entries, deleted, head, fault }: AuditVerdictView, paint: Paint): string {
  const anchor = `${head.seq}:${head.hash}`;
  if (fault === null) {
    const whole = entries === 1 ? "The one entry is" : `All ${entries} entries are`;
    const older = deleted === 0 ? "" : ` ${deleted} older ones were deleted by retention.`;
    return `${paint("green", `${whole} as written.${older}`)}\nHead: ${anchor}\n${paint("dim", "Keep the head on another machine; give it to --anchor next time.")}`;
  }
  return [
    paint("red", `Entry ${fault.seq} is not as it was written: ${harmless(fault.reason)}.`),
    `The ${entries} before it are. Head of those: ${anchor}`,
    paint("dim", "Compare with an export or a backup from before; whoever can write the store's file could do this."),
  ].join("\n");
}
