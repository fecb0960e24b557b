/** What a caller of the admin API may be, from least to most. */
export const ROLES = ["viewer", "operator", "owner"] as const;
export type Role = (typeof ROLES)[number];

/** What a route is about; the first half of a scope. */
export const RESOURCES = ["system", "keys", "endpoints", "access", "nodes", "models", "usage", "requests"] as const;
export type Resource = (typeof RESOURCES)[number];

/** Whether a route changes something. `write` includes `read` in a scope. */
export type Access = "read" | "write";

/** `keys:read`, `nodes:write`. */
export type Scope = `${Resource}:${Access}`;

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
export function isAllowed(grant: Grant, need: Need): boolean {
  return isRoleWithin(need.role, grant.role) && (grant.scopes === null || hasScope(grant.scopes, need));
}

function hasScope(scopes: readonly Scope[], { resource, access }: Pick<Need, "resource" | "access">): boolean {
  return scopes.includes(`${resource}:${access}`) || (access === "read" && scopes.includes(`${resource}:write`));
}

/** Whether `role` is at most `limit`. */
function isRoleWithin(role: Role, limit: Role): boolean {
  return ROLES.indexOf(role) <= ROLES.indexOf(limit);
}
