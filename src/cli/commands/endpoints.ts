import type { Command } from "commander";
import type { EndpointView, UpdateEndpointInput } from "../../admin/places-contract.ts";
import { type CommandSet, usageError } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

interface EndpointOptions {
  host?: string;
  path?: string;
  model?: string[];
  allModels?: boolean;
  mayLeave?: string;
  prefer?: string;
  fallback?: string;
  node?: string[];
  allTargets?: boolean;
  owner?: string;
  purpose?: string;
  reviewOn?: string;
}

/** `endpoints list|show|create|update|remove`. */
export function addEndpointsCommand(program: Command, commands: CommandSet): void {
  const endpoints = program
    .command("endpoints")
    .description("Public hosts and path prefixes with their own keys, address rules and models.");

  commands.finish(
    endpoints.command("list").description("List endpoints."),
    [["postern endpoints list", "where callers can reach this gateway"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const all = await withAdmin(options, (admin) => admin.listEndpoints());
      output.result({ endpoints: all }, (paint) => renderEndpoints(all, paint));
      return undefined;
    },
  );

  commands.finish(
    endpoints.command("show <name>").description("Show one endpoint."),
    [["postern endpoints show vm", "its host, models, owner and next review"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const endpoint = await withAdmin(options, (admin) => admin.showEndpoint(args[0] ?? ""));
      output.result(endpoint, (paint) => renderEndpoint(endpoint, paint));
      return undefined;
    },
  );

  commands.finish<EndpointOptions>(
    endpointOptions(
      endpoints.command("create <name>").description("Make an endpoint: a host, a path prefix, or both."),
    ),
    [
      ["postern endpoints create vm --host vm.example.org --purpose 'billing VM' --owner ops", "a host of its own"],
      [
        "postern endpoints create team-a --path /team-a --model 'llama*' --may-leave no",
        "base URL https://GATEWAY/team-a/v1",
      ],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const input = { name: args[0] ?? "", ...readFields(options) };
      const endpoint = await withAdmin(options, (admin) => admin.createEndpoint(input));
      output.result(endpoint, (paint) =>
        [
          renderEndpoint(endpoint, paint),
          paint("dim", `Keys must be made for it: postern keys create NAME --endpoint ${endpoint.name}`),
        ].join("\n"),
      );
      return undefined;
    },
  );

  commands.finish<EndpointOptions>(
    endpointOptions(
      endpoints
        .command("update <name>")
        .description('Change an endpoint. What is left out stays; "" takes a value away.'),
    ),
    [
      ["postern endpoints update default --owner ops --review-on 2027-05-31", "somebody looks at it again then"],
      ["postern endpoints update team-a --all-models", "no longer only some"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const input = readFields(options);
      if (Object.keys(input).length === 0) throw usageError("Say what to change: --help lists the options");
      const endpoint = await withAdmin(options, (admin) => admin.updateEndpoint(args[0] ?? "", input));
      output.result(endpoint, (paint) => renderEndpoint(endpoint, paint));
      return undefined;
    },
  );

  commands.finish(
    endpoints
      .command("remove <name>")
      .description("Remove an endpoint to which no working key belongs, with its rules."),
    [["postern endpoints remove vm", "its address is 421 or 404 from now on"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const removed = await withAdmin(options, (admin) => admin.removeEndpoint(args[0] ?? ""));
      output.result(
        removed,
        () => `Endpoint "${removed.name}" is removed. Rules that went with it: ${removed.rulesRemoved}.`,
      );
      return undefined;
    },
  );
}

function endpointOptions(command: Command): Command {
  return command
    .option("--host <name>", "host name that callers use, without port")
    .option("--path <prefix>", 'path prefix, like "/team-a"')
    .option("--model <glob...>", "models that may be used there (names or globs); left out: all")
    .option("--all-models", "every model")
    .option("--may-leave <yes|no>", "whether requests may leave your own machines")
    .option("--prefer <local|cloud|none>", "which side is tried first, where the key has no preference")
    .option("--fallback <automatic|approval|never>", "whether the other side may answer")
    .option("--node <glob...>", "only these nodes; left out: all targets")
    .option("--all-targets", "every target")
    .option("--owner <text>", "who answers for it")
    .option("--purpose <text>", "what it is there for")
    .option("--review-on <day>", 'when to look at it again, like "2027-05-31"');
}

function readFields(options: EndpointOptions): UpdateEndpointInput {
  const mayLeave = readWord("--may-leave", options.mayLeave, ["yes", "no"]);
  const prefer = readWord("--prefer", options.prefer, ["local", "cloud", "none"]);
  const fallback = readWord("--fallback", options.fallback, ["automatic", "approval", "never"]);
  if (options.allTargets === true && options.node !== undefined) {
    throw usageError("--node and --all-targets exclude each other");
  }
  if (options.allModels === true && options.model !== undefined) {
    throw usageError("--model and --all-models exclude each other");
  }
  const input: UpdateEndpointInput = {};
  for (const field of ["host", "path", "owner", "purpose", "reviewOn"] as const) {
    const value = options[field];
    if (value !== undefined) input[field] = value === "" ? null : value;
  }
  if (options.model !== undefined) input.models = options.model;
  if (options.allModels === true) input.models = null;
  if (mayLeave !== undefined) input.mayLeave = mayLeave;
  if (prefer !== undefined) input.prefer = prefer;
  if (fallback !== undefined) input.fallback = fallback;
  if (options.node !== undefined) input.targets = { nodes: options.node };
  if (options.allTargets === true) input.targets = null;
  return input;
}

function readWord<Word extends string>(
  flag: string,
  text: string | undefined,
  words: readonly Word[],
): Word | undefined {
  const word = words.find((one) => one === text);
  if (word === undefined && text !== undefined) {
    throw usageError(`${flag} must be one of ${words.join(", ")}, got ${JSON.stringify(text)}`);
  }
  return word;
}

function renderEndpoints(endpoints: readonly EndpointView[], paint: Paint): string {
  return renderTable(
    [
      { title: "NAME", value: (one) => one.name },
      { title: "HOST", value: (one) => one.host ?? "the gateway's own" },
      { title: "PATH", value: (one) => one.path },
      { title: "MODELS", value: (one) => one.models?.join(" ") ?? "all" },
      { title: "KEYS", value: (one) => one.keys, align: "right" },
      { title: "RULES", value: (one) => one.rules, align: "right" },
      {
        title: "ADDRESSES",
        value: (one) => (one.isClosed ? "listed" : "any"),
        style: (one) => (one.isClosed ? "green" : null),
      },
      { title: "OWNER", value: (one) => one.owner },
      { title: "REVIEW", value: (one) => one.reviewOn, style: (one) => (one.isReviewDue ? "red" : null) },
      { title: "FROM", value: (one) => one.place ?? "store" },
    ],
    endpoints,
    paint,
  );
}

function renderEndpoint(one: EndpointView, paint: Paint): string {
  const rows: Array<[string, string]> = [
    ["name", one.name],
    ["host", one.host ?? "the gateway's own names"],
    ["path", one.path ?? "none"],
    ["models", one.models?.join(" ") ?? "all"],
    ["may leave", one.mayLeave],
    ["prefer", `${one.prefer}, fallback ${one.fallback}`],
    ["targets", one.targets === null ? "all" : Object.values(one.targets).flat().join(" ")],
    ["addresses", one.isClosed ? "only listed ones" : "any that no rule denies"],
    ["keys", String(one.keys)],
    ["rules", String(one.rules)],
    ["owner", one.owner ?? "nobody"],
    ["purpose", one.purpose ?? "not said"],
    ["review", one.reviewOn === null ? "never" : `${one.reviewOn}${one.isReviewDue ? " (due)" : ""}`],
    ["from", one.place ?? "store"],
    ["reached by", one.exposure.reach],
    ["if broken", `Whoever breaks into a consumer gets: ${one.exposure.brokenConsumer}`],
    ["rotation", one.exposure.rotation],
  ];
  return rows.map(([name, value]) => `${paint("bold", name.padEnd(11))}${harmless(value)}`).join("\n");
}
