/** What a caller of the admin API may be, from least to most. */
export const ROLES = ["viewer", "operator", "owner"] as const;
export type Role = (typeof ROLES)[number];

/** What a route is about; the first half of a scope. */
export const RESOURCES = [
  "system",
  "keys",
  "endpoints",
  "access",
  "nodes",
  "continuity",
  "models",
  "usage",
  "requests",
  "captures",
  "audit",
  "alerts",
  "tokens",
  "users",
] as const;
/** `self`: the caller's own session or token. Open to whoever is known, whatever the scopes. */
export type Resource = (typeof RESOURCES)[number] | "self";

/** Whether a route changes something. `write` includes `read` in a scope. */
export type Access = "read" | "write";

/** `keys:read`, `nodes:write`. */
export type Scope = `${(typeof RESOURCES)[number]}:${Access}`;

/** All scopes there are. */
export const SCOPES: readonly Scope[] = RESOURCES.flatMap((resource): Scope[] => [
  `${resource}:read`,
  `${resource}:write`,
]);

/** What somebody may do. */
export interface Grant {
  role: Role;
  /** Narrows the role to these; null: everything that the role may. An empty list allows nothing. */
  scopes: readonly Scope[] | null;
}

/** What a route asks for. */
export interface Need {
  resource: Resource;
  access: Access;
  /** Least role. */
  role: Role;
}

/** Whether the grant is enough. Pure; everything that is not said is denied. */
export function isAllowed(grant: Grant, { resource, access, role }: Need): boolean {
  if (!isRoleWithin(role, grant.role)) return false;
  return resource === "self" || grant.scopes === null || hasScope(grant.scopes, `${resource}:${access}`);
}

/** Whether nothing is in `wanted` that `limit` has not: nobody gives away more than they have. */
export function isGrantWithin(wanted: Grant, limit: Grant): boolean {
  if (!isRoleWithin(wanted.role, limit.role)) return false;
  const { scopes } = limit;
  return scopes === null || (wanted.scopes?.every((scope) => hasScope(scopes, scope)) ?? false);
}

function hasScope(scopes: readonly Scope[], scope: Scope): boolean {
  return scopes.includes(scope) || scopes.some((one) => one === scope.replace(/:read$/, ":write"));
}

function isRoleWithin(role: Role, limit: Role): boolean {
  return ROLES.indexOf(role) <= ROLES.indexOf(limit);
}
