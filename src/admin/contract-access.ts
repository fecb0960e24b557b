import { z } from "zod";
import { keyPolicySchema } from "../access/policy.ts";
import { ROLES, SCOPES, type Scope } from "./access/role.ts";
import { configName, label, timestamp, ttl } from "./contract.ts";

/** The part of the contract about who may use it: tokens, users, sessions. */
const role = z.enum(ROLES);
const scope = z.enum(SCOPES as [Scope, ...Scope[]]);
/** Long enough that five guesses a second for a century do not matter; no rules about signs (NIST SP 800-63B). */
const newPassword = z.string().min(12).max(256);
/** As it is typed: its length is no news for a stranger. */
const givenPassword = z.string().min(1).max(1024);

const tokenView = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  /** Null: all that the role may. */
  scopes: z.array(z.string()).nullable(),
  /** A policy that no key made or changed with it may exceed; null: none. */
  ceiling: z.record(z.string(), z.unknown()).nullable(),
  /** `token ID`, `user ID` or `socket NAME`: when that ends, this does. */
  createdBy: z.string(),
  createdAtMs: timestamp,
  expiresAtMs: timestamp.nullable(),
  revokedAtMs: timestamp.nullable(),
  state: z.enum(["active", "expired", "revoked"]),
});
export type TokenView = z.infer<typeof tokenView>;

export const tokenList = z.object({ tokens: z.array(tokenView) });

export const createTokenInput = z.strictObject({
  name: label,
  role: role.default("viewer"),
  /** Null: all that the role may. */
  scopes: z.array(scope).max(SCOPES.length).nullable().default(null),
  /** A policy that no key made or changed with it may exceed. Null: that of its creator, if there is one. */
  ceiling: keyPolicySchema.nullable().default(null),
  /** Null: never expires. */
  expiresInMs: ttl.nullable().default(null),
});
export type CreateTokenInput = z.infer<typeof createTokenInput>;

/** The only answer that ever holds a token's secret. */
export const createdToken = z.object({ token: tokenView, secret: z.string() });
export type CreatedToken = z.infer<typeof createdToken>;

/** The token, and those that it had made. */
export const revokedTokens = z.object({ token: tokenView, alsoRevoked: z.array(z.string()) });
export type RevokedTokens = z.infer<typeof revokedTokens>;

const userView = z.object({
  id: z.string(),
  name: z.string(),
  role: z.string(),
  createdAtMs: timestamp,
  passwordChangedAtMs: timestamp,
  /** Logins that are alive. */
  sessions: z.int(),
});
export type UserView = z.infer<typeof userView>;

export const user = userView;
export const userList = z.object({ users: z.array(userView) });

export const createUserInput = z.strictObject({
  name: configName,
  role: role.default("viewer"),
  password: newPassword,
});
export type CreateUserInput = z.infer<typeof createUserInput>;

export const updateUserInput = z
  .strictObject({ role: role.optional(), password: newPassword.optional() })
  .refine((input) => input.role !== undefined || input.password !== undefined, "must change something");
export type UpdateUserInput = z.infer<typeof updateUserInput>;

export const sessionView = z.object({
  id: z.string(),
  user: z.string(),
  /** Where the login came from. */
  address: z.string(),
  createdAtMs: timestamp,
  lastSeenAtMs: timestamp,
  expiresAtMs: timestamp,
});
export type SessionView = z.infer<typeof sessionView>;

export const sessionList = z.object({ sessions: z.array(sessionView) });

export const logInInput = z.strictObject({ name: z.string().min(1).max(64), password: givenPassword });
export type LogInInput = z.infer<typeof logInInput>;

export const changePasswordInput = z.strictObject({ current: givenPassword, password: newPassword });
export type ChangePasswordInput = z.infer<typeof changePasswordInput>;

export const setUpInput = z.strictObject({ code: z.string().max(128), name: configName, password: newPassword });
export type SetUpInput = z.infer<typeof setUpInput>;

/** Who the caller is. */
export const me = z.object({
  kind: z.enum(["socket", "offline", "token", "user"]),
  id: z.string().nullable(),
  name: z.string(),
  role,
  scopes: z.array(z.string()).nullable(),
  /** A policy that no key of the caller's making may exceed; null: none. */
  ceiling: z.record(z.string(), z.unknown()).nullable(),
  /** To be sent as `X-Postern-Csrf` with whatever changes something; null where there is no cookie. */
  csrfToken: z.string().nullable(),
  /** When the token or the login ends at the latest. */
  expiresAtMs: timestamp.nullable(),
});
export type Me = z.infer<typeof me>;

/** The code is the only secret; the link has it behind `#`, which browsers send to nobody. */
export const setupLink = z.object({ code: z.string(), url: z.string().nullable(), expiresAtMs: timestamp });
export type SetupLink = z.infer<typeof setupLink>;

export const done = z.object({ ok: z.literal(true) });
