/**
 * Compares two versions of programs of whatever habit: `0.33.0-rc2`, `v1.2`, `0.8.5.post1`, `0.9.0.dev37+g1a2b`, `b11549-00dc8057`.
 *
 * Numbers are compared one after the other, missing ones count as 0; with equal numbers a pre-release comes before the release
 * and a post-release after it. What follows a `+` does not count, nor does a commit.
 *
 * @returns Negative, zero or positive; null when one of them says no version: no number in front, or only zeros, which is
 *   how programs name a build of their own.
 */
export function compareVersions(left: string, right: string): number | null {
  const [a, b] = [parseVersion(left), parseVersion(right)];
  if (a === null || b === null) return null;
  for (let index = 0; index < Math.max(a.numbers.length, b.numbers.length); index += 1) {
    const difference = (a.numbers[index] ?? 0) - (b.numbers[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.stage - b.stage;
}

/** Whether a version is `least` or later. False when it says no version. */
export function isAtLeast(version: string | null, least: string): boolean {
  const difference = version === null ? null : compareVersions(version, least);
  return difference !== null && difference >= 0;
}

/** Whether a text says a version that can be compared. */
export function isVersion(text: string): boolean {
  return parseVersion(text) !== null;
}

interface Version {
  numbers: number[];
  /** Before the release (`rc`, `dev`, `beta`), the release, after it (`post`). */
  stage: -1 | 0 | 1;
}

/** Longest text that is looked at: versions come from servers that may be hostile. */
const MAX_VERSION_LENGTH = 64;

function parseVersion(text: string): Version | null {
  if (text.length > MAX_VERSION_LENGTH) return null;
  const match = /^[vb]?(\d{1,9}(?:\.\d{1,9})*)(.*)$/i.exec(text.trim());
  if (match === null) return null;
  const numbers = (match[1] ?? "").split(".").map(Number);
  if (numbers.every((one) => one === 0)) return null;
  const rest = (match[2] ?? "").replace(/\+.*$/, "");
  const stage = /^[.-]?post/i.test(rest)
    ? 1
    : /^[.-]?(a|alpha|b|beta|c|rc|dev|pre)[.-]?\d*/i.test(rest) && !isCommit(rest)
      ? -1
      : 0;
  return { numbers, stage };
}

/** `-00dc8057` after a build number: hexadecimal of seven digits or more, which may begin with an `a`, a `b` or a `c`. */
function isCommit(rest: string): boolean {
  return /^-[0-9a-f]{7,40}$/i.test(rest);
}
