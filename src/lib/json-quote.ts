/** Texts kept ready, at most; beyond it all are forgotten and made anew. */
const TEXTS_KEPT = 4096;
/** A longer text is not worth keeping. */
const CHARACTERS_KEPT = 256;

/**
 * Makes a `JSON.stringify` for texts that come again and again, like names of models and ids of keys: a third of its time and,
 * the text being there already, no garbage. Each one made here has a memory of its own, which is bounded.
 */
export function createQuoter(): (text: string) => string {
  const quoted = new Map<string, string>();
  return function quote(text) {
    const known = quoted.get(text);
    if (known !== undefined) return known;
    const made = JSON.stringify(text);
    if (text.length > CHARACTERS_KEPT) return made;
    if (quoted.size >= TEXTS_KEPT) quoted.clear();
    quoted.set(text, made);
    return made;
  };
}
