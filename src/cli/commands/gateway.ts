import type { Command } from "commander";
import type { Risk } from "../../config/refuse-unsafe-listen.ts";
import { acceptRiskOption } from "../accept-risk.ts";
import type { CommandSet } from "../invocation.ts";

interface GatewayCommandOptions {
  listen?: string;
  adminListen?: string;
  acceptRisk?: Risk[];
}

/** `gateway`: the public program alone, in the foreground. */
export function addGatewayCommand(program: Command, commands: CommandSet): void {
  commands.finish<GatewayCommandOptions>(
    program
      .command("gateway")
      .description("Run the gateway alone, in the foreground: on the public host, without an agent or an engine.")
      .option("--listen <address>", "public listener (POSTERN_LISTEN; default 127.0.0.1:8400)")
      .option(
        "--admin-listen <address>",
        "health, metrics and the admin API (POSTERN_ADMIN_LISTEN; default 127.0.0.1:8401)",
      )
      .addOption(acceptRiskOption()),
    [
      ["postern gateway", "with postern.yaml, or with the defaults"],
      ["postern gateway --config /etc/postern.yaml --data /var/lib/postern", "as a service runs it"],
    ],
    async ({ options, output }) => {
      const { runGateway } = await import("../run-gateway.ts");
      return runGateway(options, output);
    },
  );
}
