import { hash } from "node:crypto";

// The code stands behind `#`, which browsers send to nobody, and goes into the body of one request.
const SCRIPT = `
const form = document.forms[0], say = document.querySelector("output");
const code = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
if (code === "") say.textContent = "This page needs the whole link that Postern printed.";
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { name, password, again } = form.elements;
  if (password.value !== again.value) return void (say.textContent = "The two passwords differ.");
  const body = JSON.stringify({ code, name: name.value, password: password.value });
  const headers = { "content-type": "application/json" };
  try {
    const answer = await fetch("/admin/v1/setup", { method: "POST", headers, body });
    const { error } = await answer.json();
    if (answer.ok) form.hidden = true;
    say.textContent = answer.ok ? "Done. You are the owner of this gateway, and logged in." : [error.message, error.hint].filter(Boolean).join(". ");
  } catch {
    say.textContent = "The gateway does not answer.";
  }
});
`;

const STYLE = `
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 26rem; margin: 10vh auto; padding: 0 1rem; color-scheme: light dark; }
label { display: block; margin: 1rem 0; } input { display: block; width: 100%; font: inherit; padding: .4rem; box-sizing: border-box; }
button { font: inherit; padding: .4rem 1rem; }
`;

/** The page behind the setup link: it makes the first user. Nothing on it comes from anywhere else. */
export const SETUP_PAGE = `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Set up Postern</title>
<style>${STYLE}</style>
<h1>Set up Postern</h1>
<form>
<p>The first user owns this gateway.</p>
<label>Name <input name="name" required maxlength="64" pattern="[a-z0-9](?:[a-z0-9._\\-]*[a-z0-9])?" autocomplete="username" title="lower-case letters, digits, dots, dashes"></label>
<label>Password, 12 characters or more <input name="password" type="password" required minlength="12" maxlength="256" autocomplete="new-password"></label>
<label>Again <input name="again" type="password" required autocomplete="new-password"></label>
<button>Make the user</button>
</form>
<p><output role="status"></output></p>
<script>${SCRIPT}</script>
</html>
`;

/** What the page may do: run its own script, and call the address that it came from. */
export const SETUP_PAGE_POLICY = [
  "default-src 'none'",
  `script-src '${digest(SCRIPT)}'`,
  `style-src '${digest(STYLE)}'`,
  "connect-src 'self'",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join("; ");

function digest(text: string): string {
  return `sha256-${hash("sha256", text, "base64")}`;
}
