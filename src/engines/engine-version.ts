import { isVersion } from "../lib/compare-versions.ts";
import type { EngineIdentity } from "./engine.ts";

/** The version to judge an engine by: what it says, else the oldest that it can be; null when neither is known. */
export function versionOf({ version, leastVersion }: EngineIdentity): string | null {
  return version !== null && isVersion(version) ? version : (leastVersion ?? null);
}
