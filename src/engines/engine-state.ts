import type { ModelReport } from "../tunnel/link.ts";
import type { EngineState } from "./engine.ts";

/** An engine that cannot be used, and why, in words that follow its name. `models`: what it will have, where it says so. */
export function unready(reason: string, models: ModelReport[] = []): EngineState {
  return { ready: false, reason, isLoading: false, models, slots: null, load: null };
}

/** An engine that is up and loads its model. Its models are listed all the same, so that callers hear that and not "no such model". */
export function loading(models: ModelReport[]): EngineState {
  return { ...unready("it is loading its model", models), isLoading: true };
}

/** An engine that can be used. */
export function readyWith(models: ModelReport[], said: Partial<Pick<EngineState, "slots" | "load">> = {}): EngineState {
  return { ready: true, reason: null, isLoading: false, models, slots: said.slots ?? null, load: said.load ?? null };
}
