import type { AddressInfo } from "node:net";
import type { ListenerView } from "../admin/contract-status.ts";
import { formatListen } from "../config/listen-address.ts";
import { reachOf } from "../config/reach.ts";
import type { ResolvedConfig } from "../config/resolved.ts";
import type { AdminListenerState } from "./admin.ts";
import type { CertificateState } from "./certificate-state.ts";
import type { OpenListener } from "./listeners.ts";

const NEEDS: Readonly<Record<ListenerView["name"], string>> = {
  public: "a key for everything but health; an invitation or a known identity for agents",
  plain: "nothing: it serves nothing, and refuses keys",
  agents: "an invitation or a known identity",
  admin: "nothing for health and metrics; an admin token or a login for the rest",
};

/** Everything that listens, with who can reach it and what they need, for `postern status`. */
export function viewListeners(
  config: ResolvedConfig,
  open: readonly OpenListener[],
  admin: AdminListenerState,
): ListenerView[] {
  const { gateway } = config;
  const hosts = {
    public: gateway.listen.host,
    plain: gateway.plainListen?.host ?? "",
    agents: gateway.agents?.listen.host ?? "",
  };
  const views = open.map(({ name, server, certificate }): ListenerView => {
    const host = hosts[name];
    const state = certificate?.state() ?? null;
    const isBehindProxy = name === "public" && gateway.trustedProxies.length > 0;
    return {
      name,
      address: formatListen({ host, port: (server.address() as AddressInfo | null)?.port ?? 0 }),
      reach: reachOf(host),
      tls: state?.source ?? (isBehindProxy ? "proxy" : "none"),
      needs:
        name === "public" && (gateway.tls?.clientCertificates?.caFile ?? null) !== null
          ? `a client certificate, and ${NEEDS[name]}`
          : NEEDS[name],
      certificate: viewCertificate(state),
    };
  });
  const isLocal = reachOf(gateway.admin.listen.host) === "machine";
  return [
    ...views,
    {
      name: "admin",
      address: new URL(admin.url).host,
      reach: reachOf(gateway.admin.listen.host),
      tls: gateway.admin.tls === null ? "none" : "files",
      needs: isLocal ? NEEDS.admin : "nothing for health; an admin token or a login for the rest",
      certificate: viewCertificate(admin.certificate),
    },
  ];
}

function viewCertificate(state: CertificateState | null): ListenerView["certificate"] {
  if (state === null) return null;
  const { names, notAfterMs, problem, nextTryAtMs } = state;
  return { names, notAfterMs, problem, nextTryAtMs };
}
