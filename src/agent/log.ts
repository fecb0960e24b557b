/** Where the agent's events go: a pino logger, or a recorder in tests. Never a prompt, a reply, a key or a header. */
export interface AgentLog {
  debug(fields: object, event: string): void;
  info(fields: object, event: string): void;
  warn(fields: object, event: string): void;
  error(fields: object, event: string): void;
}
