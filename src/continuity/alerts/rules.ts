/** How urgent an alert is, from least to most. */
export const SEVERITIES = ["info", "warning", "critical"] as const;
export type Severity = (typeof SEVERITIES)[number];

/** What a threshold counts. */
export type ThresholdUnit = "duration" | "share" | "count";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A rule as it ships. */
interface RuleDefinition {
  /** One line for the reference: when it fires. */
  meaning: string;
  severity: Severity;
  /** How long its condition must hold before it fires. */
  forMs: number;
  /** How long its condition must be gone before it resolves. */
  resolveAfterMs: number;
  /** What the value is compared with; null: the condition is there or not. Milliseconds, a share of 1, or a number. */
  threshold: { unit: ThresholdUnit; value: number } | null;
  /** Over how much time requests are counted; null: it counts none. */
  windowMs: number | null;
  /** Fewest requests in the window from which something is concluded; null: it counts none. */
  minRequests: number | null;
  /** While this one fires, nobody is told of it: it says the same. */
  inhibitedBy: "all-nodes-away" | null;
  /** What a person does next. */
  nextStep: string;
}

const simple = { threshold: null, windowMs: null, minRequests: null, inhibitedBy: null } as const;

/** Every rule there is. A name is a promise: it stands in configurations, silences and receivers' routes. */
export const RULES = {
  "node-away": {
    ...simple,
    meaning: "A node that had connected has no link that takes requests.",
    severity: "warning",
    forMs: MINUTE,
    resolveAfterMs: 30 * SECOND,
    inhibitedBy: "all-nodes-away",
    nextStep: "Look whether the machine runs and has a network: `postern nodes show NODE`, and the agent's log there.",
  },
  "all-nodes-away": {
    ...simple,
    meaning: "There are nodes, and none of them takes requests.",
    severity: "critical",
    // As long as of one node: after a restart of the gateway, agents come back within half a minute.
    forMs: MINUTE,
    resolveAfterMs: 30 * SECOND,
    nextStep: "Look at this machine's network and at the machines: `postern status`, `postern nodes list`.",
  },
  "model-missing": {
    ...simple,
    meaning: "A model that the configuration calls `required` cannot answer anywhere.",
    severity: "critical",
    forMs: MINUTE,
    resolveAfterMs: 30 * SECOND,
    inhibitedBy: "all-nodes-away",
    nextStep: "See why each of its targets is not ready: `postern models list`.",
  },
  "slow-first-token": {
    ...simple,
    meaning: "The 95th percentile of the time to first token of a model is above the threshold.",
    severity: "warning",
    forMs: MINUTE,
    resolveAfterMs: 2 * MINUTE,
    threshold: { unit: "duration", value: 10 * SECOND },
    windowMs: 5 * MINUTE,
    minRequests: 20,
    nextStep:
      "Look whether models are loaded anew or requests wait for a slot: `postern models list`, `postern nodes show NODE`.",
  },
  "error-ratio": {
    ...simple,
    meaning: "The share of requests that failed is above the threshold, of a model or of all.",
    severity: "critical",
    forMs: MINUTE,
    resolveAfterMs: 2 * MINUTE,
    threshold: { unit: "share", value: 0.05 },
    windowMs: 5 * MINUTE,
    minRequests: 20,
    nextStep: "Read the error codes of the requests that failed: `postern usage`, and the gateway's log.",
  },
  "queue-depth": {
    ...simple,
    meaning: "More requests wait for a slot than the threshold.",
    severity: "warning",
    forMs: MINUTE,
    resolveAfterMs: MINUTE,
    threshold: { unit: "count", value: 20 },
    nextStep: "Add a node or slots, or lower the rates of keys: `postern nodes list`, `postern usage --by key`.",
  },
  "breaker-open": {
    ...simple,
    meaning: "A target failed so often that it gets no requests.",
    severity: "warning",
    forMs: 30 * SECOND,
    resolveAfterMs: MINUTE,
    nextStep: "Look at its engine: `postern nodes show NODE`, `postern models list`.",
  },
  contingency: {
    ...simple,
    meaning: "Contingency is on: providers are skipped.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: 0,
    nextStep: "See why and until when: `postern contingency status`.",
  },
  "approval-waiting": {
    ...simple,
    meaning: "Requests wait for an operator to approve where they go.",
    severity: "critical",
    // They wait for minutes only.
    forMs: 0,
    resolveAfterMs: 0,
    nextStep: "Decide: `postern approvals list`.",
  },
  failovers: {
    ...simple,
    meaning: "More requests than the threshold had to go from one target to another.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: 5 * MINUTE,
    threshold: { unit: "count", value: 10 },
    windowMs: 5 * MINUTE,
    nextStep: "The target that they left has trouble; see why: `postern nodes list`, `postern models list`.",
  },
  "slow-engine": {
    ...simple,
    meaning: "An engine takes longer than the threshold to answer what it has in memory, measured through the link.",
    severity: "warning",
    forMs: MINUTE,
    resolveAfterMs: MINUTE,
    threshold: { unit: "duration", value: 500 },
    nextStep: "See which side is slow, engine, network or agent: `postern nodes show NODE`.",
  },
  budget: {
    ...simple,
    meaning: "A key used more of a budget than the threshold, or reached its soft edge.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: 0,
    threshold: { unit: "share", value: 0.9 },
    nextStep: "See what used it: `postern usage --by key`; give it more: `postern keys update KEY`.",
  },
  certificate: {
    ...simple,
    meaning: "A certificate of this gateway ends sooner than the threshold.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: 0,
    threshold: { unit: "duration", value: 7 * DAY },
    nextStep: "See why it was not renewed: `postern status`.",
  },
  "drill-overdue": {
    ...simple,
    meaning: "A drill that was planned did not take place.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: 0,
    nextStep: "Run it, or plan it anew: `postern drill list`.",
  },
  "address-changed": {
    ...simple,
    meaning: "An agent connects from another public address than before.",
    severity: "warning",
    forMs: 0,
    resolveAfterMs: HOUR,
    nextStep: "Change allowlists that name the old address: `postern nodes show NODE`, `postern access list`.",
  },
  store: {
    ...simple,
    meaning: "The store or the usage journal cannot be written or read.",
    severity: "critical",
    forMs: 30 * SECOND,
    resolveAfterMs: 30 * SECOND,
    nextStep: "Look at the disk and at what `postern status` says.",
  },
  channel: {
    ...simple,
    meaning: "Alerts are not delivered on a channel. Told on the others.",
    severity: "warning",
    forMs: 2 * MINUTE,
    resolveAfterMs: 0,
    nextStep: "Try it, and read what it answers: `postern alerts test CHANNEL`.",
  },
} as const satisfies Record<string, RuleDefinition>;

export type RuleName = keyof typeof RULES;
export const RULE_NAMES = Object.keys(RULES) as readonly RuleName[];

/** A rule as the operator wants it. */
export interface RuleSettings {
  isEnabled: boolean;
  severity: Severity;
  forMs: number;
  resolveAfterMs: number;
  /** Zero where the rule compares nothing. */
  threshold: number;
  /** Zero where the rule counts no requests. */
  windowMs: number;
  minRequests: number;
}

export type AlertRules = Readonly<Record<RuleName, RuleSettings>>;

/** The rule as it ships. */
export function definitionOf(rule: RuleName): RuleDefinition {
  return RULES[rule];
}

/** Whether a text is the name of a rule. */
export function isRuleName(text: string): text is RuleName {
  return Object.hasOwn(RULES, text);
}

/** All rules as they ship. */
export const DEFAULT_RULES: AlertRules = Object.fromEntries(
  RULE_NAMES.map((name): [RuleName, RuleSettings] => {
    const { severity, forMs, resolveAfterMs, threshold, windowMs, minRequests } = definitionOf(name);
    return [
      name,
      {
        isEnabled: true,
        severity,
        forMs,
        resolveAfterMs,
        threshold: threshold?.value ?? 0,
        windowMs: windowMs ?? 0,
        minRequests: minRequests ?? 0,
      },
    ];
  }),
) as Record<RuleName, RuleSettings>;
