import { resolve } from "node:path";
import type { Command } from "commander";
import { formatBytes } from "../format.ts";
import type { CommandSet } from "../invocation.ts";

/** `backup`. */
export function addBackupCommand(program: Command, commands: CommandSet): void {
  commands.finish(
    program
      .command("backup [file]")
      .description("Write a consistent copy of the store, while it serves. The file must not exist."),
    [
      ["postern backup", "to postern-TIME.db in this folder"],
      ["postern backup /var/backups/postern.db", "to a place of your choice on the gateway's machine"],
    ],
    async ({ options, args, output }) => {
      const { withAdmin } = await import("../admin-session.ts");
      const stamp = new Date().toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
      const path = resolve(args[0] ?? `postern-${stamp}.db`);
      const written = await withAdmin(options, (admin) => admin.backup(path));
      output.result(
        written,
        () =>
          `${written.path} (${formatBytes(written.bytes)}). It holds the gateway's private identity key, the hashes of keys, and usage: keep it as safe as the gateway itself.`,
      );
      return undefined;
    },
  );
}
