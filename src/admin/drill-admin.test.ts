import { expect, test } from "vitest";
import { startAdmin } from "../../test/support/admin-side.ts";
import { DEFAULT_CONTINUITY } from "../config/defaults.ts";
import { drillPlan } from "../continuity/drill/__fixtures__/drill-record.ts";
import { MAX_NOTES } from "../continuity/drill/record.ts";

// While a drill ran, the note was dropped, and whoever wrote it was told that it was taken.
test("a drill that runs takes no more notes than one that is over, and says so", async () => {
  const admin = await startAdmin({ config: { continuity: { ...DEFAULT_CONTINUITY, drills: [drillPlan()] } } });
  try {
    const { id } = await admin.owner.drills.start({ plan: "cloud-away" });
    const note = { atMs: 1, by: "ada", text: "the cat did it" };
    admin.live.drill?.notes.push(...Array.from({ length: MAX_NOTES }, () => note));
    await expect(admin.owner.drills.note(id, { text: "again" })).rejects.toMatchObject({ code: "invalid_input" });
  } finally {
    await admin.close();
  }
});
