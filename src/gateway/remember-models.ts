import type { NodeReport } from "../tunnel/link.ts";

/**
 * A report in which engines that do not answer still have the models that they had when they last did.
 *
 * An engine that is restarting lists nothing. Without its models a request for one would be told that there is no such
 * model, which clients take as final, instead of a 503 that they retry. They are gone when the engine answers without them,
 * or is itself no longer reported.
 */
export function rememberModels(before: NodeReport | null, now: NodeReport): NodeReport {
  if (before === null || now.engines.every((engine) => engine.ready || engine.models.length > 0)) return now;
  const engines = now.engines.map((engine) => {
    if (engine.ready || engine.models.length > 0) return engine;
    const models = before.engines.find(({ name }) => name === engine.name)?.models ?? [];
    return { ...engine, models: models.map((model) => ({ ...model, loaded: null })) };
  });
  return { ...now, engines };
}
