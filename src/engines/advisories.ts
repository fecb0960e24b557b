import { compareVersions } from "../lib/compare-versions.ts";
import type { EngineAdvisory, EngineKind } from "../tunnel/link.ts";
import type { EngineIdentity } from "./engine.ts";
import { versionOf } from "./engine-version.ts";

interface AdvisoryRule extends EngineAdvisory {
  kind: EngineKind;
  /** First version that has it; left out: every earlier one. */
  from?: string;
  /** First version without it. */
  before: string;
}

/**
 * What is known to be wrong with versions of engines (reference: engine-apis §5.1, with the sources). The texts say what it means
 * behind Postern, because most of it needs paths or fields that Postern does not let through.
 */
const RULES: readonly AdvisoryRule[] = [
  {
    kind: "ollama",
    id: "CVE-2026-7482",
    severity: "critical",
    before: "0.17.1",
    upgradeTo: "0.17.1",
    text: "Whoever reaches its own port can read other people's prompts and keys out of its memory. Postern passes none of the paths that this needs.",
  },
  {
    kind: "ollama",
    id: "CVE-2025-63389",
    severity: "critical",
    before: "0.12.4",
    upgradeTo: "0.12.4",
    text: "Whoever reaches its own port can manage its models without a password. Postern passes none of those paths.",
  },
  {
    kind: "ollama",
    id: "no-native-messages",
    severity: "info",
    before: "0.14.0",
    upgradeTo: "0.14.0",
    text: "It does not speak Anthropic's messages; they are translated for it.",
  },
  {
    kind: "llama-server",
    id: "CVE-2026-21869",
    severity: "high",
    // Fixed on 23 April 2026, in a build between b8800 and b9000.
    before: "b9000",
    upgradeTo: "b9000",
    text: "The body field n_discard writes outside of its memory. Postern refuses the field.",
  },
  {
    kind: "vllm",
    id: "CVE-2026-115911",
    severity: "high",
    before: "0.32.0",
    upgradeTo: "0.32.0",
    text: "Chat templates of callers can hang it (also CVE-2026-115918). Postern refuses chat_template and chat_template_kwargs.",
  },
  {
    kind: "vllm",
    id: "CVE-2026-48746",
    severity: "critical",
    before: "0.22.0",
    upgradeTo: "0.22.0",
    text: "A crafted Host header gets past its API key. Postern sends a Host of its own; others in its network may not.",
  },
  {
    kind: "vllm",
    id: "CVE-2026-22778",
    severity: "critical",
    from: "0.8.3",
    before: "0.14.1",
    upgradeTo: "0.14.1",
    text: "Images and videos can run code in it, even before its API key is asked for. Postern passes no remote media unless you allow it.",
  },
  {
    kind: "vllm",
    id: "CVE-2026-24779",
    severity: "high",
    before: "0.14.1",
    upgradeTo: "0.14.1",
    text: "Media addresses of callers make it call into your network (also CVE-2025-6242). Postern passes no remote media unless you allow it.",
  },
  {
    kind: "sglang",
    id: "CVE-2026-7304",
    severity: "critical",
    from: "0.4.1",
    // 0.5.10 is the newest that is known to have it; its makers name no fixed version.
    before: "0.5.11",
    upgradeTo: null,
    text: "With --enable-custom-logit-processor a body field runs code in it (also CVE-2026-7301, -7302 on its other ports). Postern refuses the field; start it without that option and on loopback.",
  },
  {
    kind: "lm-studio",
    id: "no-native-messages",
    severity: "info",
    before: "0.4.0",
    upgradeTo: "0.4.1",
    text: "It does not speak Anthropic's messages; they are translated for it.",
  },
];

/** What to know about this version of an engine, worst first. Empty when it does not say its version. */
export function advisoriesFor(identity: EngineIdentity): EngineAdvisory[] {
  const version = versionOf(identity);
  if (version === null) return [];
  return RULES.filter((rule) => rule.kind === identity.kind && isAffected(version, rule))
    .map(({ severity, id, text, upgradeTo }) => ({ severity, id, text, upgradeTo }))
    .toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}

const SEVERITIES: ReadonlyArray<EngineAdvisory["severity"]> = ["critical", "high", "medium", "info"];

function isAffected(version: string, { from, before }: AdvisoryRule): boolean {
  const toFixed = compareVersions(version, before);
  if (toFixed === null || toFixed >= 0) return false;
  return from === undefined || (compareVersions(version, from) ?? -1) >= 0;
}
