/**
 * Whether a key or endpoint with this list may use a model: null allows all, an empty list none; else one entry must match. Entries are exact public
 * names or globs in which `*` stands for any run of characters, `/` and `:` included. Case matters.
 */
export function mayUse({ models }: { models: readonly string[] | null }, model: string): boolean {
  return models === null || models.some((pattern) => matchesGlob(pattern, model));
}

/**
 * Whether the text matches a glob with `*`. Linear in memory and at most text × pattern in time: no backtracking beyond the
 * last `*`, so that a hostile name costs nothing.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  if (!pattern.includes("*")) return pattern === text;
  let at = 0;
  let inText = 0;
  let star = -1;
  let starText = 0;
  while (inText < text.length) {
    if (pattern[at] === "*") {
      star = at++;
      starText = inText;
    } else if (at < pattern.length && pattern[at] === text[inText]) {
      at++;
      inText++;
    } else if (star !== -1) {
      at = star + 1;
      inText = ++starText;
    } else {
      return false;
    }
  }
  while (pattern[at] === "*") at++;
  return at === pattern.length;
}
