/** Bounds of the strict scan. */
export interface ScanLimits {
  /** Nesting of arrays and objects. Default 64. */
  maxDepth: number;
  /** Values of all kinds together. Default 1,000,000. */
  maxValues: number;
}

/** A top-level member of the body: where its value stands, and what kind it is. Offsets are into the scanned bytes. */
export interface Member {
  name: string;
  kind: "string" | "number" | "object" | "array" | "true" | "false" | "null";
  /** First byte of the name's opening quote. */
  nameStart: number;
  valueStart: number;
  valueEnd: number;
}

/** What the scan found. Policy reads spans; nothing else is decoded. */
export interface BodyScan {
  bytes: Buffer;
  members: readonly Member[];
}
