/** Lowest version in each supported line, as in package.json "engines" and bin/postern.js (in step by a test). */
export const NODE_FLOORS = [
  [24, 18, 1],
  [26, 5, 1],
] as const;

/** What is wrong with a version of Node, with the next step; null when it will do. */
export function refuseOldNode(version: string): string | null {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  const isSupported =
    major > 26 ||
    NODE_FLOORS.some((floor) => major === floor[0] && (minor > floor[1] || (minor === floor[1] && patch >= floor[2])));
  if (isSupported) return null;
  return [
    `postern: Node.js ${version} is too old for the agent (security fixes are missing).`,
    "Next step: install Node.js 26.5.1 or newer (or 24.18.1 or newer in the 24 line) and paste the line again.",
    "",
  ].join("\n");
}
