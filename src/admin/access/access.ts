import { AccessBook } from "./book.ts";
import { Lockout } from "./lockout.ts";
import { PasswordHasher } from "./password.ts";
import { SetupCode } from "./setup-code.ts";

/** What decides who comes in over the admin listener; one for a gateway. */
export class AdminAccess {
  readonly book = new AccessBook();
  readonly hasher = new PasswordHasher();
  readonly lockout = new Lockout();
  readonly setup = new SetupCode();
}
