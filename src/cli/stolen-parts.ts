/** What somebody gets who has stolen one part, in Markdown. Shown by `postern status --exposure` and in SECURITY.md. */
export interface StolenPart {
  part: string;
  gives: string;
  doesNotGive: string;
  /** What the owner does about it. */
  remedy: string;
}

/** The one source of both (`npm run docs` writes the page). */
export const STOLEN_PARTS: readonly StolenPart[] = [
  {
    part: "**A caller's key**",
    gives:
      "What its policy allows, within its limits, from its addresses, until it is revoked or expires. The names of those models, and of nodes (`X-Postern-Served-By`).",
    doesNotGive: "Other callers' prompts or usage, other models, anything of administration.",
    remedy: "`postern keys revoke`, or `keys rotate --grace 0s`. Within a second, running answers too.",
  },
  {
    part: "**The store, or a backup of it**",
    gives:
      "Who used which model when, and how much. Names of nodes, keys and models. **The gateway's identity**: together with the power to lead an agent's connection elsewhere (its DNS, its network) the attacker can pose as the gateway and use that agent's models.",
    doesNotGive:
      "Callers' keys (SHA-256 of 256 random bits), open invitations (the same), agents' private keys, engine keys of agents, prompts, answers.",
    remedy:
      "Set up the gateway anew with a fresh data folder, make new keys, invite every agent again. There is no command to rotate the identity yet.",
  },
  {
    part: "**The gateway's host**",
    gives:
      "All of the above. Prompts, answers and keys of callers as they pass, and what `storage.capture` keeps of them. Every connected engine, through the listed operations. Engine keys of *direct* nodes. Whoever pastes a line of `nodes invite` from now on runs the attacker's program.",
    doesNotGive:
      "Management of engines behind agents (pull, delete, create), files, code or other ports there; their engine keys; the agents' private keys. The agent's guard holds.",
    remedy: "As above, and on a new host. Do not paste lines from the old one.",
  },
  {
    part: "**An unused invitation**",
    gives:
      "Until it is used or expires (an hour by default): a place as an agent of that node. From then on a share of the prompts for the models that this node may serve, and the power to answer them.",
    doesNotGive: "Other nodes' prompts, keys, usage. A used single-use invitation gives nothing.",
    remedy:
      "`postern nodes show NAME` lists connected agents. `postern nodes remove NAME`, then invite again. Use `--models` to bound what a node may serve.",
  },
  {
    part: "**An agent's key, or the GPU machine**",
    gives:
      "The prompts that go to that node, the power to answer them, and the engine keys on it. Names that no other node serves, where the node has no `--models`.",
    doesNotGive: "Callers' keys (they are never sent on), prompts to other nodes, usage, administration.",
    remedy: "`postern nodes remove NAME`. Its links end at once.",
  },
  {
    part: "**An engine**",
    gives: "The prompts that it gets; false answers.",
    doesNotGive:
      "More than the stream or whole answer that it was asked for: its headers, redirects, pages and endless lines stop at the agent and again at the gateway.",
    remedy: "Stop it.",
  },
  {
    part: "**The admin socket** (`admin.sock` in the data folder)",
    gives:
      "Everything that the commands can do: make and revoke keys, tokens and users, invite and remove nodes, read usage, write a backup to a new file.",
    doesNotGive: "Secrets that are shown only once.",
    remedy: "It is 0600 in a folder of 0700. Whoever can open it is that user, or root.",
  },
  {
    part: "**The admin listener** (loopback)",
    gives:
      "Health, and metrics: names of models and nodes, and counts. For every user of that host. A place to guess passwords and tokens at.",
    doesNotGive:
      "Anything of the [admin API](docs/guide/admin-api.md): that wants a token or a login, and each guess is slowed down and written down.",
    remedy: "Do not share the host with people who must not know that.",
  },
  {
    part: "**An admin token**",
    gives: "What its role and scopes allow, from wherever the listener can be reached. Other tokens that may no more.",
    doesNotGive: "More than that. Keys, tokens and passwords that exist: those are shown once or never.",
    remedy:
      '`postern admin tokens revoke`. At once, with those that it had made. `postern audit list --actor "token ID"` shows what it did.',
  },
  {
    part: "**A user's password, or a browser that is logged in**",
    gives: "The same for the user's role, for at most twelve hours with the browser alone.",
    doesNotGive: "What other sites' pages can do in that browser: nothing.",
    remedy: "`postern admin users update NAME --password`, `postern admin sessions end`.",
  },
  {
    part: "**The network between agent and gateway**",
    gives: "To cut and to delay. How much is said and when.",
    doesNotGive:
      "To read, change, replay or redirect: TLS 1.3, an identity on both sides, signatures that are tied to this one TLS session. Behind a declared proxy (`trustedProxies`) that proxy can read.",
    remedy: "",
  },
  {
    part: "**The network between caller and gateway**",
    gives: "The same, as far as your TLS goes. A listener off loopback is refused without TLS or a declared proxy.",
    doesNotGive: "",
    remedy: "",
  },
];

/** The table of SECURITY.md. */
export function renderStolenParts(): string {
  const rows = STOLEN_PARTS.map(
    ({ part, gives, doesNotGive, remedy }) => `| ${part} | ${gives} | ${doesNotGive} | ${remedy} |`,
  );
  return ["| Stolen | Gives the attacker | Does not give | What to do |", "|---|---|---|---|", ...rows].join("\n");
}
