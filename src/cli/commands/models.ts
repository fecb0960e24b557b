import type { Command } from "commander";
import type { ModelView } from "../../admin/contract.ts";
import { formatBytes } from "../format.ts";
import type { CommandSet } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { renderTable } from "../table.ts";

/** `models list`. */
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
