/** What stands for the default in Ollama's names: host, folder and tag. */
const DEFAULT_HOST = "registry.ollama.ai/";
const DEFAULT_FOLDER = "library/";
const DEFAULT_TAG = ":latest";

/**
 * The names under which a model may be known that an Ollama client asked for, the asked one first: `llama3` also means
 * `llama3:latest`, and the other way round. Policy judges the one that the catalogue knows, not the one that was asked for.
 *
 * @see https://github.com/ollama/ollama/blob/main/types/model/name.go
 */
export function ollamaNameVariants(name: string): string[] {
  let short = name;
  for (const prefix of [DEFAULT_HOST, DEFAULT_FOLDER]) if (short.startsWith(prefix)) short = short.slice(prefix.length);
  return [...new Set([name, withOtherTag(name), short, withOtherTag(short)])].filter((one) => one !== "");
}

/** Without its `:latest`, or with one where there is no tag; unchanged where there is another. */
function withOtherTag(name: string): string {
  if (name.endsWith(DEFAULT_TAG)) return name.slice(0, -DEFAULT_TAG.length);
  // A colon before the last slash belongs to the host's port.
  return name.lastIndexOf(":") > name.lastIndexOf("/") ? name : name + DEFAULT_TAG;
}
