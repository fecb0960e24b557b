/** A model as the gateway lists it to callers, in whatever dialect: what its catalogue knows, never what an engine leaks. */
export interface ListedModel {
  /** Public name. */
  id: string;
  /** When it first appeared here, UTC milliseconds. */
  createdAtMs: number;
  /** The largest window among its targets, in tokens; null where none says. */
  contextLength: number | null;
  sizeBytes: number | null;
  /** `Q4_K_M` and the like. */
  quantization: string | null;
  /** `qwen3` and the like: the architecture, where an engine says it. */
  family?: string | null;
  /** `8.2B` and the like, where an engine says it. */
  parameterSize?: string | null;
  /** `completion`, `vision`, `tools`, `embedding`, `thinking` and so on. */
  capabilities: readonly string[];
  /** Null where no engine says. */
  isLoaded: boolean | null;
}
