import { createHash, generateKeyPairSync } from "node:crypto";
import { join } from "node:path";
import { makePrivateFolder, readPrivateFile, writePrivateFile } from "../../lib/private-file.ts";
import type { PemPair } from "./challenges.ts";

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g;
const PRIVATE_KEY = /-----BEGIN (?:EC )?PRIVATE KEY-----[^-]+-----END (?:EC )?PRIVATE KEY-----\n?/;

/** What is kept of one authority, in a folder of its own (0700) below the data folder. */
export interface AcmeFiles {
  /** The account's key, PEM. Made on first use. */
  accountKey(): Buffer;
  /** The last certificate with its key, or null. */
  certificate(): PemPair | null;
  /** Both in one file, so that a crash never leaves two that do not belong together. */
  keepCertificate(pair: PemPair): void;
}

/**
 * Files of 0600 in `acme/<digest of the directory's URL>`: another authority is another account.
 *
 * @throws PosternError `data_folder`, from each of its functions.
 */
export function acmeFiles(dataFolder: string, directory: string): AcmeFiles {
  const folder = join(dataFolder, "acme", createHash("sha256").update(directory).digest("hex").slice(0, 16));
  const accountFile = join(folder, "account-key.pem");
  const certificateFile = join(folder, "certificate.pem");
  makePrivateFolder(join(dataFolder, "acme"));
  makePrivateFolder(folder);
  return {
    accountKey() {
      const kept = readPrivateFile(accountFile);
      if (kept !== null) return kept;
      const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const made = Buffer.from(privateKey.export({ type: "pkcs8", format: "pem" }));
      writePrivateFile(accountFile, made);
      return made;
    },
    certificate() {
      const text = readPrivateFile(certificateFile)?.toString("latin1") ?? "";
      const key = PRIVATE_KEY.exec(text)?.[0];
      const cert = text.match(CERTIFICATES)?.join("");
      return key === undefined || cert === undefined ? null : { cert, key };
    },
    keepCertificate({ cert, key }) {
      writePrivateFile(certificateFile, `${String(key).trim()}\n${String(cert).trim()}\n`);
    },
  };
}
