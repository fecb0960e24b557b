/**
 * Whether the text matches a glob in which `*` stands for any run of characters, `/` and `:` included. Case matters. Linear in memory and at most text × pattern in time: no backtracking beyond the
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

/** Whether one of these names or globs stands for the text. No list at all (null or undefined) allows everything, an empty one nothing. */
export function isListed(globs: readonly string[] | null | undefined, text: string): boolean {
  return globs === null || globs === undefined || globs.some((glob) => matchesGlob(glob, text));
}
