import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import {
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";

/** Prepared statements kept per connection, least recently used thrown out. The store has about thirty. */
const STATEMENTS_KEPT = 64;
/** A longer text is an insert of many rows; each costs memory in SQLite, and the few that repeat are worth it. */
const STATEMENT_CHARACTERS_KEPT = 64 * 1024;

/**
 * Kysely over one open `node:sqlite` connection, which stays the caller's to close.
 *
 * Synchronous underneath: use it in a thread of its own. A writer begins its transactions with the write lock taken
 * (`begin immediate`), because a lock that is taken later can fail in the middle.
 */
export function createSqliteDialect(database: DatabaseSync, options: { isReadOnly: boolean }): Dialect {
  return {
    createDriver: () => new SqliteDriver(database, options.isReadOnly ? "begin" : "begin immediate"),
    createAdapter: () => new SqliteAdapter(),
    createIntrospector: (db) => new SqliteIntrospector(db),
    createQueryCompiler: () => new SqliteQueryCompiler(),
  };
}

class SqliteDriver implements Driver {
  readonly #database: DatabaseSync;
  readonly #begin: string;
  readonly #connection: SqliteConnection;
  /** Who waits for the one connection. Bounded by the calls that the worker lets in. */
  readonly #waiting: Array<() => void> = [];
  #isTaken = false;

  constructor(database: DatabaseSync, begin: string) {
    this.#database = database;
    this.#begin = begin;
    this.#connection = new SqliteConnection(database);
  }

  async init(): Promise<void> {}

  async acquireConnection(): Promise<DatabaseConnection> {
    if (this.#isTaken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#isTaken = true;
    return this.#connection;
  }

  async releaseConnection(): Promise<void> {
    const next = this.#waiting.shift();
    // Handed on without being free in between, so that a newcomer cannot slip in.
    if (next !== undefined) next();
    else this.#isTaken = false;
  }

  async beginTransaction(): Promise<void> {
    this.#database.exec(this.#begin);
  }

  async commitTransaction(): Promise<void> {
    this.#database.exec("commit");
  }

  async rollbackTransaction(): Promise<void> {
    // SQLite has rolled back by itself after a full disk or an I/O error.
    if (this.#database.isTransaction) this.#database.exec("rollback");
  }

  async destroy(): Promise<void> {}
}

class SqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  async executeQuery<Row>(query: CompiledQuery): Promise<QueryResult<Row>> {
    const statement = this.#prepare(query.sql);
    const parameters = query.parameters as SQLInputValue[];
    if (statement.columns().length > 0) return { rows: statement.all(...parameters) as Row[] };
    const { changes } = statement.run(...parameters);
    return { rows: [], numAffectedRows: BigInt(changes) };
  }

  streamQuery<Row>(): AsyncIterableIterator<QueryResult<Row>> {
    throw new Error("The store does not stream queries");
  }

  #prepare(text: string): StatementSync {
    const known = this.#statements.get(text);
    if (known !== undefined) {
      this.#statements.delete(text);
      this.#statements.set(text, known);
      return known;
    }
    const statement = this.#database.prepare(text);
    if (text.length <= STATEMENT_CHARACTERS_KEPT) this.#statements.set(text, statement);
    if (this.#statements.size > STATEMENTS_KEPT) {
      this.#statements.delete(this.#statements.keys().next().value as string);
    }
    return statement;
  }
}
