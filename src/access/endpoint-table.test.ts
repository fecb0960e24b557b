import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DEFAULT_ENDPOINT, type Endpoint, findTwin, hostFault, pathFault } from "./endpoint.ts";
import { EndpointTable } from "./endpoint-table.ts";

function endpoint(name: string, host: string | null, path: string | null): Endpoint {
  return { ...DEFAULT_ENDPOINT, name, host, path };
}

const table = new EndpointTable("ai.example.org", [
  endpoint("team", null, "/team-a"),
  endpoint("deep", null, "/team-a/deep"),
  endpoint("vm", "vm.example.org", null),
  endpoint("vm-b", "vm.example.org", "/b"),
  endpoint("only-b", "b.example.org", "/b"),
]);

function placeOf(host: string, target: string): string | null {
  const place = table.find(host, target, "192.0.2.1");
  return place === null ? null : `${place.endpoint.name} ${place.target}`;
}

describe("EndpointTable", () => {
  it("has `default` from the start, at the names that are ours anyway", () => {
    const empty = new EndpointTable("ai.example.org");
    for (const host of ["localhost", "127.0.0.1", "[::1]", "ai.example.org", "192.0.2.1"]) {
      expect(empty.find(host, "/v1/models", "::ffff:192.0.2.1")?.endpoint).toBe(DEFAULT_ENDPOINT);
    }
    expect(empty.find("evil.example", "/v1/models", "192.0.2.1")).toBeNull();
    expect(empty.find("192.0.2.2", "/v1/models", "192.0.2.1")).toBeNull();
    expect(empty.isOurs("evil.example", undefined)).toBe(false);
  });

  it("takes the prefix off the raw target, at a whole segment", () => {
    expect(placeOf("localhost", "/team-a/v1/models")).toBe("team /v1/models");
    expect(placeOf("localhost", "/team-a/v1/models?limit=2")).toBe("team /v1/models?limit=2");
    expect(placeOf("localhost", "/team-a")).toBe("team /");
    expect(placeOf("localhost", "/team-a/")).toBe("team /");
    expect(placeOf("localhost", "/team-a?beta=true")).toBe("team /?beta=true");
    expect(placeOf("localhost", "/team-a/deep/v1/models")).toBe("deep /v1/models");
    expect(placeOf("localhost", "/team-a/deeper/v1/models")).toBe("team /deeper/v1/models");
  });

  it.each([
    "/team-ab/v1/models",
    "/TEAM-A/v1/models",
    "/team-a%2Fv1/models",
    "/%74eam-a/v1/models",
    "//team-a/v1/models",
    "/x/../team-a/v1/models",
    "/./team-a/v1/models",
    "/team-a;x/v1/models",
    "/team-a\\v1/models",
    "/team-a#/v1/models",
    "/team-a./v1/models",
    "team-a/v1/models",
    "http://localhost/team-a/v1/models",
  ])("does not take %s for the prefix /team-a", (target) => {
    expect(placeOf("localhost", target)).toBe(`default ${target}`);
  });

  it("keeps a host to the endpoints that name it", () => {
    expect(placeOf("vm.example.org", "/v1/models")).toBe("vm /v1/models");
    expect(placeOf("vm.example.org", "/b/v1/models")).toBe("vm-b /v1/models");
    expect(placeOf("vm.example.org", "/team-a/v1/models")).toBe("vm /team-a/v1/models");
    expect(placeOf("localhost", "/b/v1/models")).toBe("default /b/v1/models");
  });

  it("knows a host whose endpoints have no such path", () => {
    expect(placeOf("b.example.org", "/v1/models")).toBeNull();
    expect(table.isOurs("b.example.org", undefined)).toBe(true);
  });

  it("compares hosts as a whole", () => {
    for (const host of ["vm.example.org.evil.example", "xvm.example.org", "vm.example.org.", "example.org", "vm", ""]) {
      expect([host, placeOf(host, "/v1/models")]).toEqual([host, null]);
    }
  });

  it("never gives a target that was not the end of the one asked for", () => {
    const segment = fc.constantFrom("team-a", "deep", "v1", "models", "..", ".", "", "%2e%2e", "TEAM-A");
    const target = fc.array(segment, { minLength: 1, maxLength: 6 }).map((segments) => `/${segments.join("/")}`);
    fc.assert(
      fc.property(target, (asked) => {
        const place = table.find("localhost", asked, undefined);
        expect(place).not.toBeNull();
        const prefix = place?.endpoint.path ?? "";
        expect(place?.target === "/" ? [`${prefix}/`, prefix] : [`${prefix}${place?.target}`]).toContain(asked);
      }),
    );
  });
});

describe("hostFault() and pathFault()", () => {
  it("take names and prefixes that nothing on the way rewrites", () => {
    for (const host of ["a", "team.example.org", "xn--bcher-kva.example", "10.example"])
      expect(hostFault(host)).toBeNull();
    for (const path of ["/team-a", "/a/b/c/d", "/x1"]) expect(pathFault(path)).toBeNull();
  });

  it("refuse what programs read differently", () => {
    for (const host of [
      "",
      "A.example",
      "a.example.",
      "a..b",
      "-a.example",
      "a.example:443",
      "*.example.org",
      "192.0.2.1",
      "[::1]",
      "bücher.example",
    ]) {
      expect([host, hostFault(host)]).toEqual([host, expect.any(String)]);
    }
    for (const path of [
      "",
      "/",
      "team",
      "/Team",
      "/a/",
      "//a",
      "/a//b",
      "/a.b",
      "/..",
      "/a%20b",
      "/a b",
      "/a/b/c/d/e",
      "/-a",
    ]) {
      expect([path, pathFault(path)]).toEqual([path, expect.any(String)]);
    }
  });

  it("refuse prefixes of the gateway's own paths", () => {
    for (const path of ["/v1", "/api", "/api/v1", "/v1/team", "/healthz", "/readyz", "/admin/v1"]) {
      expect(pathFault(path)).toMatch(/must not begin with/);
    }
  });
});

describe("findTwin()", () => {
  it("finds another endpoint at the same place", () => {
    const all = table.list();
    expect(findTwin(endpoint("new", null, "/team-a"), all)).toBe("team");
    expect(findTwin(endpoint("team", null, "/team-a"), all)).toBeNull();
    expect(findTwin(endpoint("new", "vm.example.org", "/team-a"), all)).toBeNull();
    expect(findTwin(endpoint("new", null, null), all)).toBe("default");
  });
});
