import type { Command } from "commander";
import type { InvitedNode, NodeView, UpdateNodeInput } from "../../admin/contract-nodes.ts";
import { formatBytes, formatRelative, formatTime } from "../format.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

interface InviteOptions {
  models?: string[];
  reusable?: boolean;
  max?: string;
  ephemeral?: boolean;
  expires?: string;
  url?: string;
}

interface UpdateOptions {
  models?: string[] | false;
  tag?: string[] | false;
  locality?: string;
}

/** Uses of a `--reusable` invitation without `--max`. */
const REUSABLE_USES = 10;

/** `nodes invite|list|show|update|drain|resume|wake|remove`. */
export function addNodesCommand(program: Command, commands: CommandSet): void {
  const nodes = program.command("nodes").description("Machines where models run.");

  commands.finish<InviteOptions>(
    nodes
      .command("invite <name>")
      .description("Make an invitation and print one line to paste on the GPU machine.")
      .option("--models <glob...>", "models it may serve; left out: names that no other node serves")
      .option("--reusable", "for several agents of one node (pods)")
      .option("--max <n>", `how many agents may use a --reusable invitation (default ${REUSABLE_USES})`)
      .option("--ephemeral", "forget agents that joined with it some time after they went away")
      .option("--expires <duration>", 'how long it can be used (default "1h")')
      .option("--url <url>", "the gateway's address as that machine sees it (default gateway.publicUrl)"),
    [
      ["postern nodes invite forge --url https://ai.example.org", "for one machine, within the hour"],
      ["postern nodes invite forge --models 'llama*' 'qwen*'", "it may serve nothing else"],
      ["postern nodes invite pods --reusable --max 3 --ephemeral --expires 30d", "for three replicas"],
      [
        "postern nodes invite forge --json | jq -r .code | ssh forge postern agent join https://ai.example.org -",
        "no secret on a command line",
      ],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const input = await readInvite(args[0] ?? "", options);
      const invited = await withAdmin(options, (admin) => admin.inviteNode(input));
      for (const warning of invited.warnings) output.note(`Warning: ${warning}`, "yellow");
      output.result(invited, (paint) => renderInvited(invited, paint));
      return undefined;
    },
  );

  commands.finish(
    nodes.command("list").description("List nodes with their state."),
    [["postern nodes list", "who is connected, with what"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const list = await withAdmin(options, (admin) => admin.listNodes());
      output.result({ nodes: list }, (paint) =>
        list.length === 0 ? "No nodes. Add one: postern nodes invite NAME" : renderNodes(list, paint),
      );
      return undefined;
    },
  );

  commands.finish(
    nodes.command("show <node>").description("Show one node: engines, models, connections, invitations."),
    [["postern nodes show forge", "everything the gateway knows about it"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const node = await withAdmin(options, (admin) => admin.showNode(args[0] ?? ""));
      output.result(node, (paint) => renderNode(node, paint));
      return undefined;
    },
  );

  commands.finish<UpdateOptions>(
    nodes
      .command("update <node>")
      .description("Change what a node may serve, its tags and whose machine it is. Counts for the next request.")
      .option("--models <glob...>", "models it may serve, in place of those of before")
      .option("--no-models", "it may serve names that no other node serves")
      .option("--tag <name...>", "its tags, in place of those of before")
      .option("--no-tag", "it has no tags")
      .option("--locality <whose>", "own or rented; requests that may not leave go to no rented one"),
    [
      ["postern nodes update runpod-1 --locality rented --tag gpu a100", "keys with --may-leave no are kept from it"],
      ["postern nodes update forge --models 'llama*' 'qwen*'", "it may serve nothing else"],
    ],
    async ({ options, args, output }) => {
      const input = readUpdate(options);
      const { withAdmin } = await import("../admin-session.ts");
      const node = await withAdmin(options, (admin) => admin.updateNode(args[0] ?? "", input));
      output.result(node, (paint) => renderNode(node, paint));
      return undefined;
    },
  );

  commands.finish<{ force?: boolean }>(
    nodes
      .command("drain <node>")
      .description("Send a node no new requests; those that run there finish. It lasts over restarts.")
      .option("--force", "also where that leaves a required model with nobody who serves it"),
    [["postern nodes drain forge", "before you shut the machine down"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const node = await withAdmin(options, (admin) => admin.drainNode(args[0] ?? "", options.force === true));
      const streams = node.links.reduce((sum, link) => sum + link.streamsActive, 0);
      output.result(node, () => `Node "${node.name}" gets no new requests; ${streams} still run there.`);
      return undefined;
    },
  );

  commands.finish(
    nodes.command("resume <node>").description("Send a drained node requests again."),
    [["postern nodes resume forge", "it is back"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const node = await withAdmin(options, (admin) => admin.resumeNode(args[0] ?? ""));
      output.result(node, () => `Node "${node.name}" gets requests again.`);
      return undefined;
    },
  );

  commands.finish<{ mac?: string; via?: string; off?: boolean }>(
    nodes
      .command("wake <node>")
      .description("Wake a node's machine now (Wake-on-LAN); or say how it is woken whenever requests wait for it.")
      .option("--mac <address>", "the machine's network card: from now on it is woken when requests wait for it")
      .option("--via <node>", "a node on the same network, whose agent sends the packet (agent.wakeOnLan there)")
      .option("--off", "it is not woken any more"),
    [
      ["postern nodes wake forge --mac 00:11:22:aa:bb:cc --via pi", "requests for its models wait while it comes up"],
      ["postern nodes wake forge", "now"],
      ["postern nodes wake forge --off", "let it sleep"],
    ],
    async ({ options, args, output }) => {
      const name = args[0] ?? "";
      const { mac, via } = options;
      if ((mac === undefined) !== (via === undefined)) throw usageError("--mac and --via go together");
      const setting = mac === undefined || via === undefined ? null : { mac, via };
      if (setting !== null && options.off === true) throw usageError("--off takes no --mac");
      const { withAdmin } = await import("../admin-session.ts");
      const isNow = setting === null && options.off !== true;
      const node = await withAdmin(options, (admin) => (isNow ? admin.wakeNode(name) : admin.setWake(name, setting)));
      output.result(node, () =>
        isNow
          ? `Asked "${node.wake?.via}" to wake "${node.name}". It shows in \`postern nodes list\` when it is there.`
          : node.wake === null
            ? `"${node.name}" is not woken any more.`
            : `"${node.name}" is woken through "${node.wake.via}" when requests wait for it.`,
      );
      return undefined;
    },
  );

  commands.finish<{ force?: boolean }>(
    nodes
      .command("remove <node>")
      .description("Forget a node and its agents, and end its connections at once.")
      .option("--force", "also where that leaves a required model with nobody who serves it"),
    [["postern nodes remove forge", "its agents are refused from now on"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const removed = await withAdmin(options, (admin) => admin.removeNode(args[0] ?? "", options.force === true));
      output.result(removed, () => `Node "${removed.name}" is removed; ${removed.linksClosed} connections ended.`);
      return undefined;
    },
  );
}

function readUpdate({ models, tag, locality }: UpdateOptions): UpdateNodeInput {
  if (models === undefined && tag === undefined && locality === undefined)
    throw usageError("nothing to change", "Say --models, --tag or --locality.");
  if (locality !== undefined && locality !== "own" && locality !== "rented")
    throw usageError(`--locality must be own or rented, got "${locality}"`);
  return {
    ...(models === undefined ? {} : { models: models === false ? null : models }),
    ...(tag === undefined ? {} : { tags: tag === false ? [] : tag }),
    ...(locality === undefined ? {} : { locality }),
  };
}

async function readInvite(name: string, options: InviteOptions) {
  const { readCount, readDuration } = await import("../read-options.ts");
  if (options.max !== undefined && options.reusable !== true) {
    throw usageError("--max needs --reusable", "Invitations are single use unless --reusable is said.");
  }
  const uses = options.max === undefined ? REUSABLE_USES : readCount("--max", options.max);
  return {
    name,
    models: options.models ?? null,
    maxUses: options.reusable === true ? uses : 1,
    isEphemeral: options.ephemeral === true,
    expiresInMs: options.expires === undefined ? undefined : readDuration("--expires", options.expires),
    url: options.url ?? null,
  };
}

function renderInvited(invited: InvitedNode, paint: Paint): string {
  const { expiresAtMs, maxUses } = invited.invitation;
  const validity = `Good ${maxUses === 1 ? "once" : `${maxUses} times`}, until ${formatTime(expiresAtMs)}.`;
  const installed = `Where Postern is installed: ${invited.joinCommand}`;
  if (invited.joinLine === null) {
    return [`${invited.joinLineReason ?? ""}`, "", paint("bold", invited.joinCommand), "", paint("dim", validity)].join(
      "\n",
    );
  }
  return [
    `Paste this on ${invited.node} (it needs Node.js only):`,
    "",
    paint("bold", invited.joinLine),
    "",
    paint("dim", installed),
    paint("dim", validity),
  ].join("\n");
}

const STATE_STYLE = { ready: "green", connected: "yellow", away: "red", invited: "cyan", unknown: "dim" } as const;

function renderNodes(nodes: readonly NodeView[], paint: Paint): string {
  return renderTable(
    [
      { title: "NAME", value: (node) => node.name },
      {
        title: "STATE",
        value: (node) => (node.isDrained ? `${node.state}, drained` : node.state),
        style: (node) => (node.isDrained ? "yellow" : STATE_STYLE[node.state]),
      },
      { title: "ENGINES", value: (node) => node.engines.map((engine) => engine.name).join(" ") || null },
      { title: "MODELS", value: (node) => node.models.filter((model) => model.granted).length, align: "right" },
      { title: "LINKS", value: (node) => node.links.length, align: "right" },
      { title: "AGENT", value: (node) => node.agentVersion ?? (node.origin === "file" ? "none (by URL)" : null) },
    ],
    nodes,
    paint,
  );
}

function renderNode(node: NodeView, paint: Paint): string {
  const nowMs = Date.now();
  const facts: Array<[string, string | null]> = [
    ["name", node.name],
    ["state", node.isDrained ? `${node.state}, drained: it gets no new requests` : node.state],
    ["origin", node.origin],
    ["may serve", node.grants === null ? "names that no other node serves" : node.grants.join(" ")],
    ["locality", node.locality],
    ["tags", node.tags.length === 0 ? null : node.tags.join(" ")],
    ["agent", node.agentVersion],
    ["woken via", node.wake === null ? null : `${node.wake.via} (${node.wake.mac})`],
    ["hardware", node.hardware === null ? null : describeHardware(node.hardware)],
  ];
  const head = facts
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${paint("bold", name.padEnd(11))}${harmless(value ?? "")}`)
    .join("\n");
  const tables = [
    section("Engines", node.engines, [
      { title: "NAME", value: (one) => one.name },
      { title: "KIND", value: (one) => one.kind },
      { title: "VERSION", value: (one) => one.version },
      { title: "SLOTS", value: (one) => (one.slots === null ? null : `${one.busy}/${one.slots}`) },
      { title: "LOAD", value: (one) => describeLoad(one.load) },
      { title: "THROUGH", value: (one) => inMs(one.latency?.throughMs), align: "right" },
      { title: "AT ENGINE", value: (one) => inMs(one.latency?.engineMs), align: "right" },
      {
        title: "LATENCY",
        value: (one) => one.latency?.level ?? null,
        style: (one) => (one.latency?.level === "alarm" ? "red" : "green"),
      },
      { title: "STATE", value: (one) => (one.ready ? "ready" : (one.reason ?? "not ready")) },
    ]),
    ...node.engines
      .filter((one) => one.latency?.level === "alarm")
      .map((one) => paint("red", `${harmless(one.name)} is slow: ${one.latency?.text}`)),
    section(
      "Known faults",
      node.engines.flatMap((engine) => engine.advisories.map((one) => ({ ...one, engine: engine.name }))),
      [
        { title: "ENGINE", value: (one) => one.engine },
        { title: "SEVERITY", value: (one) => one.severity },
        { title: "ID", value: (one) => one.id },
        { title: "UPGRADE TO", value: (one) => one.upgradeTo },
        { title: "WHAT", value: (one) => one.text },
      ],
    ),
    section("Models", node.models, [
      { title: "NAME", value: (one) => one.name },
      { title: "ENGINE", value: (one) => one.engine },
      { title: "LOADED", value: (one) => (one.loaded === null ? null : one.loaded ? "yes" : "no") },
      { title: "CONTEXT", value: (one) => one.contextLength, align: "right" },
      { title: "SIZE", value: (one) => (one.sizeBytes === null ? null : formatBytes(one.sizeBytes)), align: "right" },
      { title: "GRANTED", value: (one) => (one.granted ? "yes" : "offered, not granted") },
    ]),
    section("Links", node.links, [
      { title: "FROM", value: (one) => one.remoteAddress },
      { title: "STATE", value: (one) => one.state },
      { title: "CARRIER", value: (one) => one.carrier },
      {
        title: "PING",
        value: (one) => (one.lastPingMs === null ? null : `${one.lastPingMs.toFixed(1)} ms`),
        align: "right",
      },
      { title: "STREAMS", value: (one) => one.streamsActive, align: "right" },
      { title: "SINCE", value: (one) => formatRelative(one.connectedAtMs, nowMs) },
    ]),
    section("Open invitations", node.invitations, [
      { title: "ID", value: (one) => one.id },
      { title: "USES", value: (one) => `${one.uses}/${one.maxUses}` },
      { title: "EXPIRES", value: (one) => formatRelative(one.expiresAtMs, nowMs) },
    ]),
  ];
  return [head, ...tables.filter((table) => table !== "")].join("\n\n");

  function section<Row>(title: string, rows: readonly Row[], columns: Parameters<typeof renderTable<Row>>[0]): string {
    return rows.length === 0 ? "" : `${paint("underline", title)}\n${renderTable(columns, rows, paint)}`;
  }
}

function inMs(ms: number | null | undefined): string | null {
  return ms == null ? null : `${Math.round(ms)} ms`;
}

/** `3 running, 2 queued, cache 41 %`, as far as it is known. */
function describeLoad(load: NodeView["engines"][number]["load"]): string | null {
  if (load === null) return null;
  const parts = [
    load.running === null ? [] : [`${load.running} running`],
    load.queued === null ? [] : [`${load.queued} queued`],
    load.kvUse === null ? [] : [`cache ${Math.round(load.kvUse * 100)} %`],
  ].flat();
  return parts.join(", ");
}

function describeHardware({ platform, arch, cpus, memoryBytes, gpus }: NonNullable<NodeView["hardware"]>): string {
  const parts = [`${platform}/${arch}`, `${cpus} CPUs`, formatBytes(memoryBytes), ...gpus];
  return parts.join(", ");
}
