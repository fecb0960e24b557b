import { styleText } from "node:util";
import { Command } from "commander";
import { VERSION } from "../lib/version.ts";
import { addAccessCommand } from "./commands/access.ts";
import { addAdminCommand } from "./commands/admin.ts";
import { addAgentCommand } from "./commands/agent.ts";
import { addAlertsCommand } from "./commands/alerts.ts";
import { addApprovalsCommand } from "./commands/approvals.ts";
import { addAuditCommand } from "./commands/audit.ts";
import { addBackupCommand } from "./commands/backup.ts";
import { addChatCommand } from "./commands/chat.ts";
import { addConfigCommand } from "./commands/config.ts";
import { addContingencyCommand } from "./commands/contingency.ts";
import { addDrillCommand } from "./commands/drill.ts";
import { addEndpointsCommand } from "./commands/endpoints.ts";
import { addGatewayCommand } from "./commands/gateway.ts";
import { addKeysCommand } from "./commands/keys.ts";
import { addModelsCommand } from "./commands/models.ts";
import { addNodesCommand } from "./commands/nodes.ts";
import { addRequestsCommand } from "./commands/requests.ts";
import { addStatusCommand } from "./commands/status.ts";
import { addUpCommand } from "./commands/up.ts";
import { addUsageCommand } from "./commands/usage.ts";
import { CommandSet, type RunState } from "./invocation.ts";

/** The whole command tree. Light: what a command needs is loaded when it runs. */
export function buildProgram(state: RunState): Command {
  const program = new Command("postern");
  program
    .description("The safe way to put your own inference servers on the network.")
    .version(VERSION, "-v, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand(false)
    .enablePositionalOptions()
    .configureHelp({ styleTitle: (text) => styleText("bold", text), showGlobalOptions: false })
    .exitOverride()
    .showHelpAfterError("Next step: add --help to see what is there.")
    .addHelpText(
      "after",
      [
        "",
        "Start here:",
        "  $ postern up                   # gateway, agent and engine of this machine",
        "  $ postern keys create laptop   # a key for an app",
        "  $ postern nodes invite forge   # a line to paste on another GPU machine",
      ].join("\n"),
    );
  const commands = new CommandSet(state);
  addUpCommand(program, commands);
  addGatewayCommand(program, commands);
  addAgentCommand(program, commands);
  addStatusCommand(program, commands);
  addChatCommand(program, commands);
  addKeysCommand(program, commands);
  addEndpointsCommand(program, commands);
  addAccessCommand(program, commands);
  addNodesCommand(program, commands);
  addModelsCommand(program, commands);
  addContingencyCommand(program, commands);
  addApprovalsCommand(program, commands);
  addDrillCommand(program, commands);
  addUsageCommand(program, commands);
  addRequestsCommand(program, commands);
  addAlertsCommand(program, commands);
  addConfigCommand(program, commands);
  addAdminCommand(program, commands);
  addAuditCommand(program, commands);
  addBackupCommand(program, commands);
  return program;
}
