import type { Command } from "commander";
import type { CommandSet, Invocation } from "../invocation.ts";
import { usageError } from "../invocation.ts";

interface RunOptions {
  file?: string;
  duration?: string;
  fault?: string;
  force?: boolean;
  wait: boolean;
}

interface ShowOptions {
  format?: string;
  output?: string;
}

/** `drill run|list|show|schedule|abort|judge|note`. */
export function addDrillCommand(program: Command, commands: CommandSet): void {
  const drill = program
    .command("drill")
    .description(
      "Failover drills: block a provider or a node for a while, and prove that requests are answered all the same.",
    );

  commands.finish<RunOptions>(
    drill
      .command("run [plan]")
      .description(
        "Run a plan of postern.yaml (continuity.drills), or of a file. Shows how it goes; Ctrl-C lifts the block at once. Exit code 1: it did not pass.",
      )
      .option("--file <file>", "a YAML file with one plan, instead of one of postern.yaml")
      .option("--duration <duration>", 'how long the block lasts, like "5m", at most "1h"; left out: as the plan says')
      .option("--fault <fault>", "what goes wrong; left out: as the plan says")
      .option("--force", "start although a precondition is not met; what it lacks stands in the report")
      .option("--no-wait", "start it and come back at once"),
    [
      ["postern drill run cloud-away", "as planned, and its result"],
      ["postern drill run cloud-away --duration 2m --fault silent --json", "shorter, another fault, the whole record"],
      ["postern drill run --file drill.yaml", "a plan that is not in postern.yaml"],
    ],
    runDrill,
  );

  commands.finish<{ plan?: string }>(
    drill
      .command("list")
      .description("List the drills there were, newest first.")
      .option("--plan <plan>", "only those of this plan"),
    [["postern drill list", "what was shown, and when"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { renderDrills } = await import("../render-drill.ts");
      const query = options.plan === undefined ? {} : { plan: options.plan };
      const drills = await withAdmin(options, (admin) => admin.drills.list(query));
      output.result({ drills }, (paint) => renderDrills(drills, paint));
      return undefined;
    },
  );

  commands.finish<ShowOptions>(
    drill
      .command("show <drill>")
      .description("Show a drill: what it proves, and what was measured.")
      .option("--format <format>", "the whole report: markdown or html; left out: the result in short")
      .option("--output <file>", "write the report to a file"),
    [
      ["postern drill show 01993f…", "the result in short"],
      ["postern drill show 01993f… --format html --output drill.html", "the report for others, with charts"],
      ["postern drill show 01993f… --json", "everything, for programs"],
    ],
    showDrill,
  );

  commands.finish<{ suggest?: boolean; hours?: string }>(
    drill
      .command("schedule")
      .description("Show when each plan runs next and which is overdue. Exit code 1: one is overdue.")
      .option("--suggest", "show quiet parts of the week instead, by the usage of the last four weeks")
      .option("--hours <number>", "how long the quiet part must be", "1"),
    [
      ["postern drill schedule", "what comes next"],
      ["postern drill schedule --suggest --hours 2", "when a drill disturbs the fewest"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { renderPlans, renderWindows } = await import("../render-drill.ts");
      if (options.suggest === true) {
        const { readCount } = await import("../read-options.ts");
        const hours = readCount("--hours", options.hours ?? "1");
        const found = await withAdmin(options, (admin) => admin.drills.windows(hours));
        output.result(found, (paint) => renderWindows(found, paint));
        return undefined;
      }
      const plans = await withAdmin(options, (admin) => admin.drills.plans());
      output.result({ plans }, (paint) => renderPlans(plans, paint));
      return plans.some(({ overdueSinceMs }) => overdueSinceMs !== null) ? 1 : 0;
    },
  );

  commands.finish(
    drill.command("abort <drill>").description("Lift the block at once, and write the report of what there is."),
    [["postern drill abort 01993f…", "back to normal now"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { renderDrill } = await import("../render-drill.ts");
      const record = await withAdmin(options, (admin) => admin.drills.abort(args[0] ?? ""));
      output.result(record, (paint) => renderDrill(record, paint));
      return undefined;
    },
  );

  commands.finish<{ sample?: string; ok?: boolean; bad?: boolean; note?: string }>(
    drill
      .command("judge <drill>")
      .description("Say whether an answer of a drill is good enough for its workflow.")
      .option("--sample <number>", "which answer, by its number in the report (required)")
      .option("--ok", "it is")
      .option("--bad", "it is not; the drill has failed then")
      .option("--note <text>", "why"),
    [
      ["postern drill judge 01993f… --sample 2 --ok", "good enough"],
      ["postern drill judge 01993f… --sample 3 --bad --note 'invents a law'", "not good enough"],
    ],
    async ({ options, args, output }) => {
      const { ok = false, bad = false, note } = options;
      if (ok === bad) throw usageError("Say --ok or --bad");
      if (options.sample === undefined)
        throw usageError("--sample is required: the number of the answer in the report");
      const { readCount } = await import("../read-options.ts");
      const sample = readCount("--sample", options.sample);
      const { withAdmin } = await import("../admin-session.ts");
      const { renderDrill } = await import("../render-drill.ts");
      const record = await withAdmin(options, (admin) =>
        admin.drills.judge(args[0] ?? "", { sample, ok, note: note ?? null }),
      );
      output.result(record, (paint) => renderDrill(record, paint));
      return undefined;
    },
  );

  commands.finish<{ action?: boolean; owner?: string; due?: string }>(
    drill
      .command("note <drill> <text>")
      .description("Add a surprise, a gap or something to do to the report of a drill.")
      .option("--action", "it is something to do")
      .option("--owner <name>", "who does it")
      .option("--due <day>", "until when, like 2026-12-31"),
    [
      ["postern drill note 01993f… 'the billing job has no timeout of its own'", "a surprise"],
      [
        "postern drill note 01993f… 'give the billing job a timeout' --action --owner ada --due 2026-12-31",
        "something to do",
      ],
    ],
    async ({ options, args, output }) => {
      const { owner, due } = options;
      const isAction = options.action === true;
      if (!isAction && (owner !== undefined || due !== undefined))
        throw usageError("--owner and --due belong to --action");
      const { withAdmin } = await import("../admin-session.ts");
      const { renderDrill } = await import("../render-drill.ts");
      const action = isAction ? { owner: owner ?? null, dueOn: due ?? null } : null;
      const record = await withAdmin(options, (admin) =>
        admin.drills.note(args[0] ?? "", { text: args[1] ?? "", action }),
      );
      output.result(record, (paint) => renderDrill(record, paint));
      return undefined;
    },
  );
}

async function runDrill({ options, args, output }: Invocation<RunOptions>): Promise<number> {
  const { file, duration, fault, force = false, wait } = options;
  const [name] = args;
  if ((name === undefined) === (file === undefined)) throw usageError("Say a plan of postern.yaml, or --file");
  const { FAULT_KINDS, isFaultKind } = await import("../../continuity/drill/fault.ts");
  if (fault !== undefined && !isFaultKind(fault)) throw usageError(`--fault must be one of ${FAULT_KINDS.join(", ")}`);
  const { readPlanFile, followDrill } = await import("../run-drill.ts");
  const planned = file === undefined ? { plan: name ?? "" } : readPlanFile(file);
  const input = {
    ...planned,
    force,
    ...(duration === undefined ? {} : { duration }),
    ...(fault === undefined ? {} : { fault }),
  };
  const { withAdmin } = await import("../admin-session.ts");
  const { renderDrill } = await import("../render-drill.ts");
  const record = await withAdmin(options, async (admin) => {
    const started = await admin.drills.start(input);
    return wait ? followDrill(admin.drills, started, output) : started;
  });
  output.result(record, (paint) => renderDrill(record, paint));
  return record.result === "passed" || !wait ? 0 : 1;
}

async function showDrill({ options, args, output }: Invocation<ShowOptions>): Promise<undefined> {
  const { format, output: file } = options;
  const id = args[0] ?? "";
  const { withAdmin } = await import("../admin-session.ts");
  if (format === undefined && file === undefined) {
    const { renderDrill } = await import("../render-drill.ts");
    const record = await withAdmin(options, (admin) => admin.drills.show(id));
    output.result(record, (paint) => renderDrill(record, paint));
    return undefined;
  }
  const wanted = format ?? (file?.endsWith(".html") === true ? "html" : "markdown");
  if (wanted !== "markdown" && wanted !== "html")
    throw usageError(`--format must be markdown or html, got "${wanted}"`);
  const report = await withAdmin(options, (admin) => admin.drills.report(id, wanted));
  if (file === undefined) {
    output.result(report, () => report.text);
    return undefined;
  }
  const { writeFile } = await import("node:fs/promises");
  await writeFile(file, report.text);
  output.result({ format: wanted, file }, () => `The report is in ${file}.`);
  return undefined;
}
