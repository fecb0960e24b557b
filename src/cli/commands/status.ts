import type { Command } from "commander";
import type { ProviderView } from "../../admin/contract-providers.ts";
import type { BreakerStatus, ListenerView, Status } from "../../admin/contract-status.ts";
import { formatRelative } from "../format.ts";
import type { CommandSet } from "../invocation.ts";
import type { Paint } from "../output.ts";
import type { StolenPart } from "../stolen-parts.ts";
import { harmless } from "../table.ts";
import { renderContingency } from "./contingency.ts";

/** `status`. Exit code 1 when something needs attention. */
export function addStatusCommand(program: Command, commands: CommandSet): void {
  commands.finish<{ exposure?: boolean; continuity?: boolean }>(
    program
      .command("status")
      .description("What runs here and whether it is well. Exit code 1 when it is not.")
      .option("--exposure", "also what somebody gets who steals a part of it")
      .option("--continuity", "also what is lost, for each model, when a machine, the tunnel or a provider is away"),
    [
      ["postern status", "for people"],
      ["postern status --exposure", "who can reach what, and what a stolen part is worth"],
      ["postern status --continuity", "single points of failure, model by model"],
      ["postern status --json", "for programs"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { status, continuity } = await withAdmin(options, async (admin) => ({
        status: await admin.status(),
        continuity: options.continuity === true ? await admin.reviewContinuity() : null,
      }));
      const parts = options.exposure === true ? (await import("../stolen-parts.ts")).STOLEN_PARTS : [];
      const { renderContinuity } = await import("../render-continuity.ts");
      const shown = {
        ...status,
        ...(options.exposure === true ? { stolenParts: parts } : {}),
        ...(continuity === null ? {} : { continuity: continuity.models }),
      };
      output.result(shown, (paint) =>
        [
          renderStatus(status, paint),
          ...parts.map((part) => renderStolenPart(part, paint)),
          ...(continuity === null ? [] : [renderContinuity(continuity, paint)]),
        ].join("\n\n"),
      );
      return isWell(status) ? 0 : 1;
    },
  );
}

function isWell({ gateway, storeTrouble, ledgerTrouble }: Status): boolean {
  return gateway?.ready === true && gateway.config.problem === null && storeTrouble === null && ledgerTrouble === null;
}

/** The lines for a person. What is missing names the next command, where a gateway runs that would know. */
export function renderStatus(status: Status, paint: Paint): string {
  const { gateway } = status;
  const rows: Array<[string, string]> = [
    ["gateway", gateway === null ? paint("yellow", "not running (start it: postern up)") : describe(gateway, paint)],
    ...(gateway === null
      ? []
      : ([
          ["address", gateway.publicUrl],
          ["admin", gateway.adminUrl ?? "none"],
          ["requests", describeRequests(gateway)],
        ] as Array<[string, string]>)),
    ...(gateway?.listeners ?? []).flatMap((one) => listenerRows(one, paint)),
    ...(gateway?.providers ?? []).map((one) => ["provider", describeProvider(one, paint)] as [string, string]),
    ...(gateway?.breakers ?? []).map((one) => ["breaker", describeBreaker(one, paint)] as [string, string]),
    ["models", `${status.models.ready} ready of ${status.models.total}${nextStep(modelsStep(status), paint)}`],
    ...(status.nodesAway.length === 0
      ? []
      : ([
          [
            "away",
            paint(
              "red",
              `no node serves ${status.nodesAway.map(harmless).join(", ")}: providers do, where policies allow`,
            ),
          ],
        ] as Array<[string, string]>)),
    ...(status.contingency.length === 0
      ? []
      : ([["cloud", renderContingency(status.contingency, paint).replaceAll("\n", `\n${" ".repeat(10)}`)]] as Array<
          [string, string]
        >)),
    ...drillRows(status, paint),
    ...alertRows(status, paint),
    ["nodes", `${status.nodes.connected} connected of ${status.nodes.total}${nextStep(nodesStep(status), paint)}`],
    ["keys", `${status.keys.active} active of ${status.keys.total}${nextStep(keysStep(status), paint)}`],
    ["data", status.dataFolder],
    ["config", status.configFile ?? "none (defaults)"],
    ...configRows(gateway, paint),
    ["version", status.version],
    ...status.engineAdvisories.map((one) => ["engine", describeAdvisory(one, paint)] as [string, string]),
    ...[status.storeTrouble, status.ledgerTrouble]
      .filter((trouble) => trouble !== null)
      .map((trouble) => ["trouble", paint("red", trouble)] as [string, string]),
  ];
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(10))}${value}`).join("\n");
}

/** What of the file is not in use, and why. */
function configRows(gateway: Status["gateway"], paint: Paint): Array<[string, string]> {
  if (gateway === null) return [];
  const { problem, needsRestart } = gateway.config;
  return [
    ...(problem === null
      ? []
      : [["trouble", paint("red", `the configuration of before is in use: ${problem}`)] as [string, string]]),
    ...(needsRestart.length === 0
      ? []
      : [["restart", paint("yellow", `needs a restart: ${needsRestart.join(", ")}`)] as [string, string]]),
  ];
}

function drillRows({ drills }: Status, paint: Paint): Array<[string, string]> {
  const { running, overdue } = drills;
  const rows: Array<[string, string]> = overdue.map(({ plan, sinceMs }) => [
    "drill",
    paint(
      "yellow",
      `${harmless(plan)} is overdue since ${new Date(sinceMs).toISOString().slice(0, 10)} (run it: postern drill run ${harmless(plan)})`,
    ),
  ]);
  if (running !== null) {
    const text = `${harmless(running.plan)} runs (${running.state}); end it: postern drill abort ${running.id}`;
    rows.unshift(["drill", paint("yellow", text)]);
  }
  return rows;
}

/** Longest list of alerts; `alerts list` has all, with what to do about each. */
const MAX_ALERTS = 5;

function alertRows({ alerts }: Status, paint: Paint): Array<[string, string]> {
  const rows = alerts
    .slice(0, MAX_ALERTS)
    .map(({ rule, severity, summary }): [string, string] => [
      "alert",
      paint(severity === "critical" ? "red" : "yellow", `${severity}, ${harmless(rule)}: ${harmless(summary)}`),
    ]);
  if (rows.length > 0) {
    const more = alerts.length - rows.length;
    rows.push(["", `${more > 0 ? `${more} more; ` : ""}what to do: postern alerts list`]);
  }
  return rows;
}

function nextStep(step: string | null, paint: Paint): string {
  return step === null ? "" : paint("yellow", ` (${step})`);
}

const REACH: Readonly<Record<ListenerView["reach"], string>> = {
  machine: "this machine alone",
  private: "private networks",
  everywhere: "every network that this machine is in",
  internet: "the internet",
};
const TLS: Readonly<Record<ListenerView["tls"], string>> = {
  none: "no TLS",
  proxy: "TLS ends at a proxy in front",
  files: "TLS, certificate from files",
  acme: "TLS, certificate by ACME",
};

/** Who can reach a listener and what they need; what is wrong with its certificate in a row of its own. */
function listenerRows(one: ListenerView, paint: Paint): Array<[string, string]> {
  const { certificate } = one;
  const notAfterMs = certificate?.notAfterMs ?? null;
  const until = notAfterMs === null ? "" : ` until ${new Date(notAfterMs).toISOString().slice(0, 10)}`;
  const isOpen = one.reach !== "machine" && one.tls === "none" && one.name !== "plain";
  const tls = isOpen ? paint("red", TLS[one.tls]) : TLS[one.tls];
  const reach = `${one.name} ${one.address}: ${REACH[one.reach]}, ${tls}${until}; needs ${one.needs}`;
  const problem = certificate?.problem ?? null;
  return [
    ["reach", reach],
    ...(problem === null
      ? []
      : [
          ["trouble", paint("red", `certificate of ${one.name} not renewed: ${harmless(problem)}`)] as [string, string],
        ]),
  ];
}

/** One part as plain text: the page's Markdown without its marks. */
function renderStolenPart({ part, gives, doesNotGive, remedy }: StolenPart, paint: Paint): string {
  const plain = (text: string) => text.replaceAll(/\*\*|`/g, "").replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1");
  const lines = [`gives: ${gives}`, `not: ${doesNotGive}`, ...(remedy === "" ? [] : [`do: ${remedy}`])];
  return [`${paint("bold", `Stolen: ${plain(part)}`)}`, ...lines.map((line) => `  ${plain(line)}`)].join("\n");
}

function modelsStep({ gateway, models, nodes }: Status): string | null {
  if (gateway === null || nodes.connected === 0 || (models.total > 0 && models.ready === models.total)) return null;
  return models.total === 0 ? "see what the machines offer: postern nodes list" : "see why: postern models list";
}

function nodesStep({ gateway, nodes }: Status): string | null {
  if (gateway === null || (nodes.total > 0 && nodes.connected === nodes.total)) return null;
  return nodes.total === 0 ? "add one: postern nodes invite NAME" : "see which: postern nodes list";
}

function keysStep({ gateway, keys }: Status): string | null {
  return gateway !== null && keys.active === 0 ? "make one: postern keys create NAME" : null;
}

function describeBreaker({ target, state, reason, probeAtMs }: BreakerStatus, paint: Paint): string {
  const next = state === "open" ? `, tried again ${formatRelative(probeAtMs, Date.now())}` : ", a probe is under way";
  const why = reason === null ? "" : ` (${harmless(reason)})`;
  return `${harmless(target)}: ${paint("yellow", state)}${why}${next}`;
}

function describeProvider({ name, models, ready, reason, spending }: ProviderView, paint: Paint): string {
  const state = ready ? paint("green", "ready") : paint("yellow", "not ready");
  const spent = spending
    .filter(({ spentMicros, softMicros, hardMicros }) => spentMicros > 0 || softMicros !== null || hardMicros !== null)
    .map(({ period, spentMicros, softMicros, hardMicros }) => {
      const cap = hardMicros ?? softMicros;
      const amount = `$${(spentMicros / 1e6).toFixed(2)}${cap === null ? "" : ` of $${(cap / 1e6).toFixed(2)}`} this ${period}`;
      return softMicros !== null && spentMicros >= softMicros ? paint("yellow", amount) : amount;
    });
  const why = reason === null ? [] : [paint("yellow", harmless(reason))];
  return `${name} ${state}: ${[`${models} ${models === 1 ? "model" : "models"}`, ...spent, ...why].join(", ")}`;
}

function describeAdvisory(one: Status["engineAdvisories"][number], paint: Paint): string {
  const engine = harmless(`${one.engine} ${one.version ?? ""} on ${one.node}`);
  const remedy = one.upgradeTo === null ? "" : ` Upgrade it to ${harmless(one.upgradeTo)} or later.`;
  return `${engine}: ${paint(one.severity === "critical" ? "red" : "yellow", `${one.severity}, ${harmless(one.id)}`)}. ${harmless(one.text)}${remedy}`;
}

function describe(gateway: NonNullable<Status["gateway"]>, paint: Paint): string {
  const since = `pid ${gateway.pid}, started ${formatRelative(gateway.startedAtMs, Date.now())}`;
  if (gateway.isDraining) return `${paint("yellow", "draining")} (${since})`;
  if (gateway.ready) return `${paint("green", "ready")} (${since})`;
  return `${paint("red", "not ready")}: ${gateway.reasons.join("; ")} (${since})`;
}

function describeRequests({ requestsActive, queues }: NonNullable<Status["gateway"]>): string {
  const waiting = queues.map(({ model, depth }) => `${depth} of them wait for ${model}`);
  return [`${requestsActive} running`, ...waiting].join(", ");
}
