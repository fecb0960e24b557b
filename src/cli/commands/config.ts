import type { Command } from "commander";
import type { CommandSet } from "../invocation.ts";

/** `config check|schema|show`. */
export function addConfigCommand(program: Command, commands: CommandSet): void {
  const config = program.command("config").description("The configuration file, postern.yaml.");

  commands.finish(
    config
      .command("check")
      .description("Read everything that the file names and report every fault with its line. Starts nothing."),
    [
      ["postern config check", "before a restart"],
      ["postern config check --config /etc/postern.yaml --json", "for scripts: exit code 0 or 1"],
    ],
    async ({ options, output }) => {
      const { loadConfig } = await import("../../config/load.ts");
      const loaded = loadConfig({ part: "check", flags: options });
      output.result({ ok: true, file: loaded.file }, (paint) =>
        loaded.file === null
          ? "No postern.yaml; everything is default."
          : `${loaded.file} ${paint("green", "is valid")}.`,
      );
      return undefined;
    },
  );

  commands.finish(
    config.command("schema").description("Print the JSON Schema of postern.yaml, for editors."),
    [["postern config schema > postern.schema.json", "then: # yaml-language-server: $schema=postern.schema.json"]],
    async ({ output }) => {
      const { configJsonSchema } = await import("../../config/reference.ts");
      const schema = configJsonSchema();
      output.result(schema, () => JSON.stringify(schema, null, 2));
      return undefined;
    },
  );

  commands.finish(
    config
      .command("show")
      .description("Print the configuration in force: flags, environment, file and defaults. Secrets are masked."),
    [["postern config show", "what a start would use now"]],
    async ({ options, output }) => {
      const [{ loadConfig }, { stringify }] = await Promise.all([import("../../config/load.ts"), import("yaml")]);
      const loaded = loadConfig({ part: "none", flags: options });
      // Through JSON, where secrets print as ***.
      output.result(loaded, () => stringify(JSON.parse(JSON.stringify(loaded))));
      return undefined;
    },
  );
}
