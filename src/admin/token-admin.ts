import { randomBytes } from "node:crypto";
import { createAdminSecret } from "../access/key-format.ts";
import { parsePolicy, writePolicy } from "../access/policy.ts";
import { policyExcess } from "../access/policy-subset.ts";
import { PosternError } from "../errors.ts";
import type { TokenRecord } from "../storage/store.ts";
import { isGrantWithin, ROLES, SCOPES, type Scope } from "./access/role.ts";
import { labelOf } from "./caller.ts";
import { refuseExcess } from "./ceiling.ts";
import type { AdminContext } from "./context.ts";
import type { TokenView } from "./contract-access.ts";
import type { CallParts } from "./create-context.ts";

type TokenMethods = Pick<AdminContext, "listTokens" | "createToken" | "revokeToken">;

/** Most tokens that are good at one time: an automation that makes one for each run finds out. */
const MAX_TOKENS = 1000;

/** Tokens of the admin API. Nobody makes one that may more or lives longer than they, or ends one that may more. */
export function createTokenAdmin({ clock, access, caller, changing }: CallParts): TokenMethods {
  return {
    async listTokens() {
      const nowMs = clock.nowMs();
      return access.book.tokens().map((token) => toTokenView(token, nowMs));
    },
    async createToken({ name, role, scopes, ceiling: wanted, expiresInMs }) {
      const nowMs = clock.nowMs();
      const expiresAtMs = expiresInMs === null ? null : nowMs + expiresInMs;
      if (!isGrantWithin({ role, scopes }, caller)) {
        throw new PosternError("forbidden", {
          message: "A token cannot have a role or scopes that its creator has not",
          hint: `You are ${caller.role}${caller.scopes === null ? "" : ` with ${caller.scopes.join(" ") || "no scopes"}`}.`,
        });
      }
      if (caller.expiresAtMs !== null && (expiresAtMs === null || expiresAtMs > caller.expiresAtMs)) {
        throw new PosternError("forbidden", {
          message: "A token cannot outlive the token that makes it",
          hint: `Yours ends at ${new Date(caller.expiresAtMs).toISOString()}; say a shorter time.`,
        });
      }
      const ceiling = wanted ?? caller.ceiling;
      if (ceiling !== null) refuseWays(scopes);
      refuseExcess(ceiling, caller.ceiling, "ceiling");
      if (access.book.tokens().filter((token) => stateOf(token, nowMs) === "active").length >= MAX_TOKENS) {
        throw new PosternError("invalid_input", {
          message: `There are ${MAX_TOKENS} active tokens already`,
          hint: "Revoke those that nobody uses, or let them expire.",
        });
      }
      const { id, hash, key: secret } = createAdminSecret("psta_", randomBytes);
      const token: TokenRecord = {
        id,
        name,
        hash,
        role,
        scopes: scopes === null ? null : [...new Set(scopes)],
        ceiling: ceiling === null ? null : writePolicy(ceiling),
        createdBy: labelOf(caller),
        createdAtMs: nowMs,
        expiresAtMs,
        revokedAtMs: null,
      };
      const view = toTokenView(token, nowMs);
      await changing({ action: "tokens.create", subject: `token ${id}`, before: null, after: view }).tokens.insert(
        token,
      );
      access.book.putToken(token);
      // Its maker was ended while the store wrote: what ended with the maker did not find this one.
      if (!access.book.isCurrent(caller, clock.nowMs())) {
        await changing({ action: "tokens.revoke", subject: `token ${id}`, before: view, after: null }).tokens.revoke(
          [id],
          nowMs,
        );
        access.book.putToken({ ...token, revokedAtMs: nowMs });
        throw new PosternError("unauthorized", { message: "Your own access ended meanwhile" });
      }
      return { token: view, secret: secret.reveal() };
    },
    async revokeToken(idOrName) {
      const token = findToken(idOrName);
      const nowMs = clock.nowMs();
      if (token.revokedAtMs !== null) return { token: toTokenView(token, nowMs), alsoRevoked: [] };
      refuseMightier(token);
      const children = access.book.madeBy([labelOf({ kind: "token", id: token.id, name: token.name })], nowMs);
      const ended = [token, ...children].map((one) => ({ ...one, revokedAtMs: nowMs }));
      const before = toTokenView(token, nowMs);
      const alsoRevoked = children.map(({ id }) => id);
      const after = { ...toTokenView({ ...token, revokedAtMs: nowMs }, nowMs), alsoRevoked };
      const change = { action: "tokens.revoke", subject: `token ${token.id}`, before, after };
      await changing(change).tokens.revoke(
        ended.map(({ id }) => id),
        nowMs,
      );
      for (const one of ended) access.book.putToken(one);
      return { token: toTokenView({ ...token, revokedAtMs: nowMs }, nowMs), alsoRevoked };
    },
  };

  /** A token may always end itself. */
  function refuseMightier(token: TokenRecord): void {
    if (caller.kind === "token" && caller.id === token.id) return;
    const role = ROLES.find((one) => one === token.role) ?? "owner";
    const scopes = token.scopes === null ? null : SCOPES.filter((scope) => token.scopes?.includes(scope));
    const bound = token.ceiling === null ? null : parsePolicy(token.ceiling);
    const isBelow = caller.ceiling === null || (bound !== null && policyExcess(bound, caller.ceiling).length === 0);
    if (isBelow && isGrantWithin({ role, scopes }, caller)) return;
    throw new PosternError("forbidden", { message: "You cannot end a token that may more than you" });
  }

  function findToken(idOrName: string): TokenRecord {
    const tokens = access.book.tokens();
    const byId = tokens.find((token) => token.id === idOrName);
    if (byId !== undefined) return byId;
    const named = tokens.filter((token) => token.name === idOrName && token.revokedAtMs === null);
    const [first, second] = named;
    if (first === undefined) {
      throw new PosternError("not_found", {
        message: `There is no token with the id or name "${idOrName}"`,
        hint: "`postern admin tokens list` shows them.",
      });
    }
    if (second === undefined) return first;
    throw new PosternError("invalid_input", {
      message: `${named.length} tokens have the name "${idOrName}"`,
      hint: `Say which by its id: ${named.map(({ id }) => id).join(", ")}.`,
    });
  }
}

/** What a token with a ceiling may change: keys, below it, and tokens, with one. All else could be a way around it. */
const CEILING_WRITES: readonly Scope[] = ["keys:write", "tokens:write"];

/** Whoever may set a rule that an address stands for a key, or take users in, needs no key of their own making. */
function refuseWays(scopes: readonly Scope[] | null): void {
  const ways = scopes?.filter((scope) => !scope.endsWith(":read") && !CEILING_WRITES.includes(scope));
  if (ways?.length === 0) return;
  throw new PosternError("invalid_input", {
    message: `A token with a ceiling needs scopes, and may write only ${CEILING_WRITES.join(" and ")}`,
    hint: ways === undefined ? 'Say which: "keys:write", for example.' : `Leave out: ${ways.join(", ")}.`,
  });
}

/** A token as it may be shown: everything but its hash. */
function toTokenView(token: TokenRecord, nowMs: number): TokenView {
  const { hash: _hash, ceiling, ...shown } = token;
  const policy = ceiling === null ? null : { ...parsePolicy(ceiling) };
  return { ...shown, ceiling: policy, state: stateOf(token, nowMs) };
}

function stateOf({ revokedAtMs, expiresAtMs }: TokenRecord, nowMs: number): TokenView["state"] {
  if (revokedAtMs !== null) return "revoked";
  return expiresAtMs !== null && expiresAtMs <= nowMs ? "expired" : "active";
}
