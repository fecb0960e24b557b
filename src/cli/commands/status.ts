import type { Command } from "commander";
import type { Status } from "../../admin/contract.ts";
import { formatRelative } from "../format.ts";
import type { CommandSet } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless } from "../table.ts";

/** `status`. Exit code 1 when something needs attention. */
export function addStatusCommand(program: Command, commands: CommandSet): void {
  commands.finish(
    program.command("status").description("What runs here and whether it is well. Exit code 1 when it is not."),
    [
      ["postern status", "for people"],
      ["postern status --json", "for programs"],
    ],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const status = await withAdmin(options, (admin) => admin.status());
      output.result(status, (paint) => renderStatus(status, paint));
      return isWell(status) ? 0 : 1;
    },
  );
}

function isWell({ gateway, storeTrouble, ledgerTrouble }: Status): boolean {
  return gateway?.ready === true && storeTrouble === null && ledgerTrouble === null;
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
          ["requests", `${gateway.requestsActive} running`],
        ] as Array<[string, string]>)),
    ["models", `${status.models.ready} ready of ${status.models.total}${nextStep(modelsStep(status), paint)}`],
    ["nodes", `${status.nodes.connected} connected of ${status.nodes.total}${nextStep(nodesStep(status), paint)}`],
    ["keys", `${status.keys.active} active of ${status.keys.total}${nextStep(keysStep(status), paint)}`],
    ["data", status.dataFolder],
    ["config", status.configFile ?? "none (defaults)"],
    ["version", status.version],
    ...status.engineAdvisories.map((one) => ["engine", describeAdvisory(one, paint)] as [string, string]),
    ...[status.storeTrouble, status.ledgerTrouble]
      .filter((trouble) => trouble !== null)
      .map((trouble) => ["trouble", paint("red", trouble)] as [string, string]),
  ];
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(10))}${value}`).join("\n");
}

function nextStep(step: string | null, paint: Paint): string {
  return step === null ? "" : paint("yellow", ` (${step})`);
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
