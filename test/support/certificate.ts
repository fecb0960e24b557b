import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A self-signed certificate with its key, both PEM. Its own `ca`, where one is asked for. */
export interface TestCertificate {
  key: string;
  cert: string;
}

/** Makes a certificate with the `openssl` command, valid for a day, for `localhost` and the loopback addresses (or `names`). */
export function makeCertificate(
  names: readonly string[] = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"],
): TestCertificate {
  const folder = mkdtempSync(join(tmpdir(), "postern-certificate-"));
  try {
    const key = join(folder, "key.pem");
    const cert = join(folder, "cert.pem");
    const subject = ["-subj", "/CN=postern test", "-addext", `subjectAltName=${names.join(",")}`];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", ["req", "-x509", ...curve, "-days", "1", "-keyout", key, "-out", cert, ...subject], {
      stdio: "ignore",
    });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An authority that signs certificates of callers. */
export interface TestAuthority {
  /** PEM. */
  ca: string;
  issue(name: string): TestCertificate;
}

/** Makes an authority with the `openssl` command, valid for a day. */
export function makeAuthority(): TestAuthority {
  const { cert: ca, key: caKey } = makeCertificate(["DNS:authority"]);
  return {
    ca,
    issue(name) {
      const folder = mkdtempSync(join(tmpdir(), "postern-certificate-"));
      try {
        const at = (file: string) => join(folder, file);
        writeFileSync(at("ca.pem"), ca);
        writeFileSync(at("ca-key.pem"), caKey);
        const run = (...args: string[]) => execFileSync("openssl", args, { stdio: "ignore" });
        const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        run("req", "-new", ...curve, "-keyout", at("key.pem"), "-out", at("request.pem"), "-subj", `/CN=${name}`);
        const signer = ["-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-CAcreateserial"];
        run("x509", "-req", "-in", at("request.pem"), ...signer, "-days", "1", "-out", at("cert.pem"));
        return { key: readFileSync(at("key.pem"), "utf8"), cert: readFileSync(at("cert.pem"), "utf8") };
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  };
}
