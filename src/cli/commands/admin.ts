import type { Command } from "commander";
import type { Role, Scope } from "../../admin/access/role.ts";
import type { SessionView, TokenView, UserView } from "../../admin/contract-access.ts";
import { formatRelative } from "../format.ts";
import type { CommandSet } from "../invocation.ts";
import type { Paint } from "../output.ts";
import { harmless, renderTable } from "../table.ts";

/** `admin tokens|users|sessions|setup-link`: who may administer this gateway from elsewhere. */
export function addAdminCommand(program: Command, commands: CommandSet): void {
  const admin = program.command("admin").description("Who may administer this gateway over the admin listener.");
  addTokenCommands(admin, commands);
  addUserCommands(admin, commands);
  addSessionCommands(admin, commands);

  commands.finish(
    admin
      .command("setup-link")
      .description("Make the link with which the first user is made in a browser: once, within the hour."),
    [["postern admin setup-link", "the one that was shown at the first start is gone"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const link = await withAdmin(options, (client) => client.createSetupLink(false));
      output.result(link, (paint) =>
        link.url === null
          ? paint(
              "yellow",
              "No gateway runs, so nobody could open the link. Make a user here: postern admin users create NAME",
            )
          : `${paint("bold", link.url)}\n\n${paint("dim", `Good once; it ends ${formatRelative(link.expiresAtMs, Date.now())}.`)}`,
      );
      return undefined;
    },
  );
}

function addTokenCommands(admin: Command, commands: CommandSet): void {
  const tokens = admin
    .command("tokens")
    .description("Tokens of the admin API, for programs and for the CLI elsewhere.");

  commands.finish<{ role?: string; scope?: string[]; ceiling?: string; expires?: string }>(
    tokens
      .command("create <name>")
      .description("Make a token. It is shown once; only its SHA-256 is kept.")
      .option("--role <role>", "viewer, operator or owner", "viewer")
      .option("--scope <scope...>", 'only these, like "keys:read"; left out: all that the role may')
      .option("--ceiling <file>", "policy as a JSON file that no key made or changed with it may exceed")
      .option("--expires <duration>", 'time until it stops working, like "12h" or "90d"; left out: never'),
    [
      [
        "postern admin tokens create team --role operator --scope keys:write --ceiling team.json",
        "makes keys for one team, none of which may more than team.json says",
      ],
      ["postern admin tokens create grafana", "a token that may look"],
      ["postern admin tokens create ci --role operator --scope keys:write --expires 12h", "only keys, for half a day"],
      [
        "export POSTERN_ADMIN_TOKEN=$(postern admin tokens create laptop --role owner --json | jq -r .secret)",
        "for the CLI on another machine, with POSTERN_URL",
      ],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { readDuration } = await import("../read-options.ts");
      const { readPolicyOptions } = await import("../policy-options.ts");
      const { readRole, readScopes } = await import("../read-grant.ts");
      const input = {
        name: args[0] ?? "",
        role: readRole(options.role ?? "viewer"),
        scopes: options.scope === undefined ? null : readScopes(options.scope),
        ceiling: options.ceiling === undefined ? null : readPolicyOptions({ policy: options.ceiling }, Date.now()),
        expiresInMs: options.expires === undefined ? null : readDuration("--expires", options.expires),
      } satisfies { role: Role; scopes: Scope[] | null } & Record<string, unknown>;
      const created = await withAdmin(options, (client) => client.createToken(input));
      output.result(created, (paint) => {
        const { name, id, role } = created.token;
        return [
          paint("bold", created.secret),
          "",
          paint("dim", `Token "${harmless(name)}" (${id}), ${role}. It is not shown again; keep it now.`),
        ].join("\n");
      });
      return undefined;
    },
  );

  commands.finish<{ all?: boolean }>(
    tokens.command("list").description("List tokens.").option("--all", "revoked and expired ones too"),
    [["postern admin tokens list", "tokens that work now"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const all = await withAdmin(options, (client) => client.listTokens());
      const shown = options.all === true ? all : all.filter((token) => token.state === "active");
      output.result({ tokens: shown }, (paint) =>
        shown.length === 0 ? "No tokens. Make one: postern admin tokens create NAME" : renderTokens(shown, paint),
      );
      return undefined;
    },
  );

  commands.finish(
    tokens
      .command("revoke <token>")
      .description("End a token at once, by id or name, with the tokens that it had made and the calls under way."),
    [["postern admin tokens revoke ci", "it answers 401 within a second"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const revoked = await withAdmin(options, (client) => client.revokeToken(args[0] ?? ""));
      output.result(revoked, () => {
        const { token, alsoRevoked } = revoked;
        const more = alsoRevoked.length === 0 ? "" : `, and ${alsoRevoked.length} that it had made`;
        return `Token "${harmless(token.name)}" (${token.id}) is revoked${more}.`;
      });
      return undefined;
    },
  );
}

function addUserCommands(admin: Command, commands: CommandSet): void {
  const users = admin.command("users").description("People who log in with a password.");
  const passwordOption = [
    "--password-file <path>",
    "file with the password; - is standard input; left out: asked for",
  ] as const;

  commands.finish<{ role?: string; passwordFile?: string }>(
    users
      .command("create <name>")
      .description("Make a user.")
      .option("--role <role>", "viewer, operator or owner", "viewer")
      .option(...passwordOption),
    [
      ["postern admin users create ada --role owner", "asks for the password"],
      [
        "pass show postern/ada | postern admin users create ada --role owner --password-file -",
        "from a password store",
      ],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { readRole } = await import("../read-grant.ts");
      const { readPassword } = await import("../read-secret.ts");
      const role = readRole(options.role ?? "viewer");
      const password = (await readPassword(options.passwordFile)).reveal();
      const user = await withAdmin(options, (client) => client.createUser({ name: args[0] ?? "", role, password }));
      output.result(user, () => `User "${user.name}" is made, with the role ${user.role}.`);
      return undefined;
    },
  );

  commands.finish(
    users.command("list").description("List users."),
    [["postern admin users list", "who may log in"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const list = await withAdmin(options, (client) => client.listUsers());
      output.result({ users: list }, (paint) =>
        list.length === 0 ? "No users. Make one: postern admin users create NAME" : renderUsers(list, paint),
      );
      return undefined;
    },
  );

  commands.finish<{ role?: string; password?: boolean; passwordFile?: string }>(
    users
      .command("update <name>")
      .description("Set a user's role or password. The user's logins end.")
      .option("--role <role>", "viewer, operator or owner")
      .option("--password", "set a password; it is asked for")
      .option(passwordOption[0], "set a password from a file; - is standard input"),
    [
      ["postern admin users update ada --password", "asks for the new one"],
      ["postern admin users update bob --role viewer", "may only look from now on; bob's tokens end"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const { readRole } = await import("../read-grant.ts");
      const { readPassword } = await import("../read-secret.ts");
      const isNewPassword = options.password === true || options.passwordFile !== undefined;
      const input = {
        ...(options.role === undefined ? {} : { role: readRole(options.role) }),
        ...(isNewPassword ? { password: (await readPassword(options.passwordFile)).reveal() } : {}),
      };
      const user = await withAdmin(options, (client) => client.updateUser(args[0] ?? "", input));
      output.result(user, () => `User "${user.name}" has the role ${user.role}; logins of before have ended.`);
      return undefined;
    },
  );

  commands.finish(
    users.command("remove <name>").description("Remove a user. The user's logins and tokens end at once."),
    [["postern admin users remove bob", "bob is out within a second"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const user = await withAdmin(options, (client) => client.removeUser(args[0] ?? ""));
      output.result(user, () => `User "${user.name}" is removed.`);
      return undefined;
    },
  );
}

function addSessionCommands(admin: Command, commands: CommandSet): void {
  const sessions = admin.command("sessions").description("Logins that are alive.");

  commands.finish(
    sessions.command("list").description("List logins."),
    [["postern admin sessions list", "who is logged in, from where"]],
    async ({ options, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const list = await withAdmin(options, (client) => client.listSessions());
      output.result({ sessions: list }, (paint) =>
        list.length === 0 ? "Nobody is logged in." : renderSessions(list, paint),
      );
      return undefined;
    },
  );

  commands.finish(
    sessions.command("end <session>").description("End a login at once, by id."),
    [["postern admin sessions end 0b8f1c1e-…", "its browser has to log in again"]],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const session = await withAdmin(options, (client) => client.endSession(args[0] ?? ""));
      output.result(session, () => `The login of "${session.user}" from ${session.address} has ended.`);
      return undefined;
    },
  );
}

function renderTokens(tokens: readonly TokenView[], paint: Paint): string {
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "ID", value: (token) => token.id },
      { title: "NAME", value: (token) => token.name },
      { title: "STATE", value: (token) => token.state, style: (token) => (token.state === "active" ? "green" : "red") },
      { title: "ROLE", value: (token) => token.role },
      { title: "SCOPES", value: (token) => scopesOf(token) },
      { title: "CREATED", value: (token) => formatRelative(token.createdAtMs, nowMs) },
      { title: "BY", value: (token) => token.createdBy },
      {
        title: "EXPIRES",
        value: (token) => (token.expiresAtMs === null ? "never" : formatRelative(token.expiresAtMs, nowMs)),
      },
    ],
    tokens,
    paint,
  );
}

function scopesOf({ scopes, ceiling }: TokenView): string {
  return `${scopes === null ? "all of the role" : scopes.join(" ")}${ceiling === null ? "" : " (below a ceiling)"}`;
}

function renderUsers(users: readonly UserView[], paint: Paint): string {
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "NAME", value: (user) => user.name },
      { title: "ROLE", value: (user) => user.role },
      { title: "LOGINS", value: (user) => user.sessions, align: "right" },
      { title: "CREATED", value: (user) => formatRelative(user.createdAtMs, nowMs) },
      { title: "PASSWORD SET", value: (user) => formatRelative(user.passwordChangedAtMs, nowMs) },
    ],
    users,
    paint,
  );
}

function renderSessions(sessions: readonly SessionView[], paint: Paint): string {
  const nowMs = Date.now();
  return renderTable(
    [
      { title: "ID", value: (session) => session.id },
      { title: "USER", value: (session) => session.user },
      { title: "FROM", value: (session) => session.address },
      { title: "SINCE", value: (session) => formatRelative(session.createdAtMs, nowMs) },
      { title: "LAST SEEN", value: (session) => formatRelative(session.lastSeenAtMs, nowMs) },
      { title: "ENDS", value: (session) => formatRelative(session.expiresAtMs, nowMs) },
    ],
    sessions,
    paint,
  );
}
