import type { EngineReport } from "../tunnel/link.ts";
import type { EngineRunState } from "./engine-supervisor.ts";

const LOOKED_FOR = "Ollama, llama-server, LM Studio, vLLM, SGLang";

/**
 * Why this node serves no model and will not without somebody's doing, in one line with the next step. Null when it serves
 * one, and while the embedded engine is being prepared.
 *
 * @param isEmbeddedAllowed Whether the embedded engine may be installed and started.
 * @param started What became of the engines that the agent starts itself.
 */
export function whyNoModels(
  engines: readonly EngineReport[],
  embedded: EngineRunState,
  isEmbeddedAllowed: boolean,
  started: readonly EngineRunState[] = [],
): string | null {
  if (engines.some((engine) => engine.ready && engine.models.some((model) => !model.remote))) return null;
  if (started.some(({ name }) => name === "starting" || name === "waiting")) return null;
  const failed = started.find((one) => one.name === "failed");
  if (failed !== undefined) return sentences([failed.error.message, failed.error.hint]);
  switch (embedded.name) {
    case "starting":
    case "waiting":
      return null;
    case "failed":
      return sentences([`No inference server was found (${LOOKED_FOR}).`, embedded.error.message, embedded.error.hint]);
    case "running":
    case "off":
      break;
    default:
      embedded satisfies never;
  }
  const [engine] = engines;
  if (engine === undefined) {
    const embeddedHint = isEmbeddedAllowed ? "" : ", and the embedded engine is turned off";
    return `No inference server was found (${LOOKED_FOR})${embeddedHint}. Start one and pull a model, or name its address under agent.engines.`;
  }
  const [unready] = engines.filter((one) => !one.ready);
  if (unready !== undefined)
    return `The engine "${unready.name}" is not ready: ${unready.reason ?? "it does not say why"}.`;
  return `The engine "${engine.name}" has no model of its own. Load one there, for example with \`ollama pull\`.`;
}

function sentences(parts: ReadonlyArray<string | undefined>): string {
  return parts
    .filter((part) => part !== undefined)
    .map((part) => part.replace(/([^.!?])$/, "$1."))
    .join(" ");
}
