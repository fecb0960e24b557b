import type { Peer } from "../peer.ts";

/** No peer at all: the ground that the others stand on. */
export const direct: Peer = {
  name: "direct",
  describe: "the load generator speaks to the engine",
  isTls: false,
  hasMemory: false,
  start: (ground) =>
    Promise.resolve({
      port: ground.enginePort,
      isTls: false,
      headers: [],
      processes: [],
      version: "",
      stop: () => Promise.resolve(),
    }),
};
