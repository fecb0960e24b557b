import { ROLES, type Role, SCOPES, type Scope } from "../admin/access/role.ts";
import { usageError } from "./invocation.ts";

/** A role given to `--role`. @throws PosternError `usage`. */
export function readRole(text: string): Role {
  const role = ROLES.find((one) => one === text);
  if (role === undefined) throw usageError(`--role must be one of ${ROLES.join(", ")}, got ${JSON.stringify(text)}`);
  return role;
}

/** Scopes given to `--scope`. @throws PosternError `usage`. */
export function readScopes(texts: readonly string[]): Scope[] {
  return texts.map((text) => {
    const scope = SCOPES.find((one) => one === text);
    if (scope !== undefined) return scope;
    throw usageError(`--scope must be one of ${SCOPES.join(", ")}, got ${JSON.stringify(text)}`);
  });
}
