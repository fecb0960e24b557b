import type { Command } from "commander";
import type { ModelView } from "../../admin/contract-models.ts";
import { formatBytes } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { renderTable } from "../table.ts";

/** `models list|weight|check`. */
export function addModelsCommand(program: Command, commands: CommandSet): void {
  const models = program.command("models").description("Models that callers can ask for.");
  commands.finish(
    models.command("list").description("List models with where they run."),
    [
      ["postern models list", "what callers can ask for"],
      ["postern models list --json | jq -r '.models[].name'", "names only"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const list = await withAdmin(options, (admin) => admin.listModels());
      output.result({ models: list }, (paint) =>
        list.length === 0
          ? "No models. `postern nodes list` shows which machines are connected; an engine there needs a model."
          : renderModels(list, paint),
      );
      return undefined;
    },
  );

  commands.finish<WeightOptions>(
    models
      .command("weight <model> [target] [weight]")
      .description("Give a target of a model its share of the requests, from the next request on; 0: none.")
      .option("--rollback", "the weights of before the last change")
      .option("--force", "also where that leaves a required model with nobody who serves it"),
    [
      ["postern models weight chat anvil 10", "the new machine gets ten of every eleven requests, if the other has 1"],
      ["postern models weight chat forge 0", "and then all of them"],
      ["postern models weight chat --rollback", "back, at once"],
    ],
    async ({ options, args, output }) => {
      const [model = "", target, text] = args;
      const force = options.force === true;
      const { withAdmin } = await import("../admin-session.ts");
      const changed = await withAdmin(options, (admin) => {
        if (options.rollback === true) return admin.rollBackWeights({ model, force });
        return admin.setWeight({ model, target: readTarget(target), weight: readWeight(text), force });
      });
      output.result(changed, (paint) => renderModels([changed], paint));
      return undefined;
    },
  );

  commands.finish(
    models.command("check").description("Say whether every required model (models.NAME.required) is served now."),
    [["postern models check", "before and after a move; exit code 1 when one is missing"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const list = await withAdmin(options, (admin) => admin.listModels());
      const required = list.filter((model) => model.required);
      const missing = required.filter((model) => !model.ready).map((model) => model.name);
      output.result({ ok: missing.length === 0, missing, models: required }, (paint) => {
        if (required.length === 0) return "No model is required. Say `required: true` under `models:` in postern.yaml.";
        const verdict =
          missing.length === 0
            ? paint("green", "Every required model is served.")
            : paint("red", `Nobody serves ${missing.join(", ")} now. \`postern nodes list\` shows what is away.`);
        return `${renderModels(required, paint)}\n\n${verdict}`;
      });
      return missing.length === 0 ? undefined : 1;
    },
  );
}

function readTarget(target: string | undefined): string {
  if (target !== undefined) return target;
  throw usageError("Name the target (a node, or the engine's name of the model), or say --rollback");
}

function readWeight(text: string | undefined): number {
  if (text !== undefined && /^[0-9]{1,4}$/.test(text)) return Number(text);
  throw usageError(`The weight must be a whole number from 0 to 1000, got "${text ?? "nothing"}"`);
}

interface WeightOptions {
  force?: boolean;
  rollback?: boolean;
}

interface ModelLine {
  model: ModelView;
  target: ModelView["targets"][number] | null;
}

function renderModels(models: readonly ModelView[], paint: Paint): string {
  const rows = models.flatMap((model): ModelLine[] =>
    model.targets.length === 0 ? [{ model, target: null }] : model.targets.map((target) => ({ model, target })),
  );
  return renderTable<ModelLine>(
    [
      { title: "MODEL", value: ({ model }) => model.name },
      {
        title: "STATE",
        value: ({ model, target }) => stateOf(model, target),
        style: ({ model, target }) => (target?.ready === true && model.source !== "offered" ? "green" : "yellow"),
      },
      { title: "WHERE", value: ({ target }) => placeOf(target) },
      ...(models.some(({ strategy }) => strategy === "weighted")
        ? [{ title: "WEIGHT", value: ({ target }: ModelLine) => target?.weight ?? null, align: "right" as const }]
        : []),
      { title: "ENGINE", value: ({ target }) => target?.engine ?? null },
      { title: "CONTEXT", value: ({ target }) => target?.contextLength ?? null, align: "right" },
      {
        title: "SIZE",
        value: ({ target }) => (target?.sizeBytes == null ? null : formatBytes(target.sizeBytes)),
        align: "right",
      },
      { title: "QUANT", value: ({ target }) => target?.quantization ?? null },
    ],
    rows,
    paint,
  );
}

function placeOf(target: ModelLine["target"]): string | null {
  return target?.node ?? (target?.provider == null ? null : `provider/${target.provider}`);
}

function stateOf(model: ModelView, target: ModelView["targets"][number] | null): string {
  if (model.source === "offered") return "offered, not granted";
  if (target === null) return "nothing serves it";
  if (!target.ready) return target.reason ?? "not ready";
  return target.loaded === true ? "loaded" : "ready";
}
