import { join } from "node:path";
import { z } from "zod";
import { PosternError } from "../errors.ts";
import { makePrivateFolder, readPrivateFile, writePrivateFile } from "../lib/private-file.ts";
import { Identity } from "../tunnel/identity.ts";

/** Which gateway this agent belongs to. */
const membershipSchema = z.strictObject({
  /** Origin that is dialled, like `https://ai.example.org`. */
  gateway: z.url(),
  /** Fingerprint of the gateway's identity; nobody else is believed, whatever certificate they have. */
  gatewayFingerprint: z.string().regex(/^[0-9A-Za-z_-]{43}$/),
  node: z.strictObject({ id: z.string().min(1).max(64), name: z.string().min(1).max(128) }),
});

export type Membership = z.infer<typeof membershipSchema>;

/**
 * What an agent keeps on its machine, in a folder of its own (0700, files 0600): the connector's key pair, the gateway it
 * joined and the epoch counter. Every write is atomic.
 *
 * One process per folder: two agents with one identity would replace each other's links.
 */
export class AgentState {
  readonly folder: string;
  /** The connector's key pair. Made on first use; never leaves the folder. */
  readonly identity: Identity;
  #membership: Membership | null;
  #epoch: number;

  private constructor(folder: string, identity: Identity, membership: Membership | null, epoch: number) {
    this.folder = folder;
    this.identity = identity;
    this.#membership = membership;
    this.#epoch = epoch;
  }

  /**
   * Opens the folder, and makes it and the identity where they are missing.
   *
   * @throws PosternError `data_folder` when it cannot be read or written, `invalid_input` when a file in it is damaged.
   */
  static open(folder: string): AgentState {
    makePrivateFolder(folder);
    return new AgentState(folder, openIdentity(folder), readMembership(folder), readEpoch(folder));
  }

  /** The gateway that was joined, or null. */
  get membership(): Membership | null {
    return this.#membership;
  }

  /** Remembers the gateway after a successful join. */
  join(membership: Membership): void {
    writePrivateFile(join(this.folder, MEMBERSHIP_FILE), `${JSON.stringify(membership, null, 2)}\n`);
    this.#membership = membership;
  }

  /**
   * A number that no earlier call of this identity has returned, and greater than all of them and than `floor`. On the disk
   * before it is returned: a clock may jump back, a counter may not.
   */
  nextEpoch(floor = 0): number {
    const epoch = Math.max(this.#epoch, floor) + 1;
    writePrivateFile(join(this.folder, EPOCH_FILE), `${epoch}\n`);
    this.#epoch = epoch;
    return epoch;
  }
}

const IDENTITY_FILE = "connector-identity";
const MEMBERSHIP_FILE = "membership.json";
const EPOCH_FILE = "epoch";

function openIdentity(folder: string): Identity {
  const path = join(folder, IDENTITY_FILE);
  const bytes = readPrivateFile(path);
  if (bytes !== null) return Identity.parse(bytes);
  const identity = Identity.create();
  writePrivateFile(path, identity.serialise());
  return identity;
}

function readMembership(folder: string): Membership | null {
  const bytes = readPrivateFile(join(folder, MEMBERSHIP_FILE));
  if (bytes === null) return null;
  try {
    return membershipSchema.parse(JSON.parse(bytes.toString("utf8")));
  } catch (cause) {
    throw damaged(folder, MEMBERSHIP_FILE, "Delete it and join the gateway again with a new invitation.", cause);
  }
}

function readEpoch(folder: string): number {
  const text = readPrivateFile(join(folder, EPOCH_FILE))?.toString("latin1").trim();
  if (text === undefined) return 0;
  const epoch = Number(text);
  if (/^\d{1,15}$/.test(text)) return epoch;
  throw damaged(folder, EPOCH_FILE, "Delete it; the gateway then tells the agent where to go on.");
}

function damaged(folder: string, file: string, hint: string, cause?: unknown): PosternError {
  return new PosternError("invalid_input", {
    message: `Cannot read "${join(folder, file)}": it is not what this program wrote`,
    hint,
    cause,
  });
}
