/** One step on the way to a running engine, for whoever waits. Steps of one phase follow each other with a growing `done`. */
export interface EngineProgress {
  phase: "prepare" | "download" | "unpack" | "model" | "start" | "ready";
  /** Plain words for a person, without paths or addresses. */
  message: string;
  done: number | null;
  total: number | null;
  unit: "packages" | "percent" | null;
}

export type OnEngineProgress = (progress: EngineProgress) => void;

/** A step without a measure. */
export function step(phase: EngineProgress["phase"], message: string): EngineProgress {
  return { phase, message, done: null, total: null, unit: null };
}
