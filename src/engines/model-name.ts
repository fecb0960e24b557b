/** Longest name of a model that is reported. */
const MAX_MODEL_NAME_LENGTH = 200;

/** Most models of one engine that are reported; the rest is left out. */
export const MAX_MODELS = 512;

/**
 * Whether an engine's word may serve as a model's name: printable ASCII without quotes and backslashes, no space at either
 * end, so that it reads the same in a request, a list, a log and a terminal.
 */
export function isModelName(name: unknown): name is string {
  return (
    typeof name === "string" && name.length <= MAX_MODEL_NAME_LENGTH && /^[!#-&(-[\]-~]+( +[!#-&(-[\]-~]+)*$/.test(name)
  );
}
