import { randomUUID } from "node:crypto";
import { PosternError } from "../errors.ts";
import type { TokenRecord, UserRecord } from "../storage/store.ts";
import type { Role } from "./access/role.ts";
import { labelOf } from "./caller.ts";
import type { AdminContext } from "./context.ts";
import type { SessionView, UserView } from "./contract-access.ts";
import type { CallParts } from "./create-context.ts";

type UserMethods = Pick<
  AdminContext,
  "listUsers" | "createUser" | "updateUser" | "removeUser" | "listSessions" | "endSession"
>;

const MAX_USERS = 1000;

/** People who log in, and their logins. Only an owner comes here. */
export function createUserAdmin(parts: CallParts): UserMethods {
  const { clock, access, changing } = parts;
  return {
    async listUsers() {
      return access.book.users().map((user) => toUserView(parts, user));
    },
    async createUser({ name, role, password }) {
      return toUserView(parts, await addUser(parts, { name, role, password }));
    },
    async updateUser(name, { role, password }) {
      const before = findUser(name);
      if (role !== undefined && role !== "owner") keepAnOwner(before);
      const nowMs = clock.nowMs();
      const user: UserRecord = {
        ...before,
        role: role ?? before.role,
        passwordHash: password === undefined ? before.passwordHash : await access.hasher.hash(password),
        passwordChangedAtMs: password === undefined ? before.passwordChangedAtMs : nowMs,
      };
      const after = { ...toUserView(parts, user), sessions: 0 };
      const change = { action: "users.update", subject: `user ${user.name}`, before: toUserView(parts, before), after };
      if (!(await changing(change).users.update(user))) throw noSuchUser(name);
      access.book.putUser(user);
      access.book.endSessions((session) => session.userId === user.id);
      // Less than before: tokens that were made with more must not outlive it.
      if (before.role !== user.role) await endTokensOf(user);
      return after;
    },
    async removeUser(name) {
      const user = findUser(name);
      keepAnOwner(user);
      const view = toUserView(parts, user);
      const change = { action: "users.remove", subject: `user ${user.name}`, before: view, after: null };
      await changing(change).users.remove(user.id);
      access.book.removeUser(user.id);
      await endTokensOf(user);
      return view;
    },
    async listSessions() {
      return access.book.sessions(clock.nowMs()).map((session) => toSessionView(parts, session));
    },
    async endSession(id) {
      const session = access.book.sessions(clock.nowMs()).find((one) => one.id === id);
      if (session === undefined) throw new PosternError("not_found", { message: `There is no session "${id}"` });
      await removeSessions(parts, [session]);
      return toSessionView(parts, session);
    },
  };

  function findUser(name: string): UserRecord {
    const user = access.book.users().find((one) => one.name === name || one.id === name);
    if (user === undefined) throw noSuchUser(name);
    return user;
  }

  /** The socket would still let the machine's user in, but a person far away would not think of it. */
  function keepAnOwner(user: UserRecord): void {
    const others = access.book.users().filter((one) => one.id !== user.id && one.role === "owner");
    if (user.role !== "owner" || others.length > 0 || parts.caller.kind !== "user") return;
    throw new PosternError("invalid_input", {
      message: "That is the last owner",
      hint: "Make another user an owner first, or use the CLI on the gateway's machine.",
    });
  }

  async function endTokensOf(user: UserRecord): Promise<void> {
    const nowMs = clock.nowMs();
    const tokens = access.book.madeBy([labelOf({ kind: "user", id: user.id, name: user.name })], nowMs);
    if (tokens.length === 0) return;
    const ids = tokens.map(({ id }) => id);
    const change = { action: "tokens.revoke", subject: `tokens of user ${user.name}`, before: ids, after: null };
    await changing(change).tokens.revoke(ids, nowMs);
    for (const token of tokens) access.book.putToken({ ...token, revokedAtMs: nowMs } satisfies TokenRecord);
  }
}

/** Makes a user, for the CLI, the API and the set-up alike. @throws PosternError `already_exists`, `invalid_input`. */
export async function addUser(
  { clock, access, changing }: Pick<CallParts, "clock" | "access" | "changing">,
  { name, role, password }: { name: string; role: Role; password: string },
): Promise<UserRecord> {
  if (access.book.users().length >= MAX_USERS) {
    throw new PosternError("invalid_input", { message: `There are ${MAX_USERS} users already` });
  }
  const passwordHash = await access.hasher.hash(password);
  const nowMs = clock.nowMs();
  const user = { id: randomUUID(), name, role, passwordHash, createdAtMs: nowMs, passwordChangedAtMs: nowMs };
  const after = { id: user.id, name, role };
  await changing({ action: "users.create", subject: `user ${name}`, before: null, after }).users.insert(user);
  access.book.putUser(user);
  return user;
}

/** Ends logins here and in the store. */
export async function removeSessions(
  parts: Pick<CallParts, "access" | "changing" | "clock">,
  sessions: ReturnType<CallParts["access"]["book"]["sessions"]>,
): Promise<void> {
  const ids = sessions.map(({ id }) => id);
  if (ids.length === 0) return;
  const before = sessions.map((session) => toSessionView(parts, session));
  const change = { action: "sessions.end", subject: `session ${ids.join(" ")}`, before, after: null };
  await parts.changing(change).sessions.remove(ids);
  parts.access.book.endSessions((session) => ids.includes(session.id));
}

function toUserView({ access, clock }: Pick<CallParts, "access" | "clock">, user: UserRecord): UserView {
  const { id, name, role, createdAtMs, passwordChangedAtMs } = user;
  const sessions = access.book.sessions(clock.nowMs()).filter((session) => session.userId === id).length;
  return { id, name, role, createdAtMs, passwordChangedAtMs, sessions };
}

function toSessionView(
  { access }: Pick<CallParts, "access">,
  session: ReturnType<CallParts["access"]["book"]["sessions"]>[number],
): SessionView {
  const { id, userId, address, createdAtMs, lastSeenAtMs, expiresAtMs } = session;
  const user = access.book.users().find((one) => one.id === userId)?.name ?? userId;
  return { id, user, address, createdAtMs, lastSeenAtMs, expiresAtMs };
}

function noSuchUser(name: string): PosternError {
  return new PosternError("not_found", {
    message: `There is no user "${name}"`,
    hint: "`postern admin users list` shows them.",
  });
}
