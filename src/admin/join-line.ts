import { PosternError } from "../errors.ts";
import { NODE_FLOORS } from "../lib/node-version.ts";

export interface JoinLineParts {
  /** Origin of the gateway as the GPU machine sees it. */
  gatewayUrl: string;
  /** SHA-256 of the file at `/.postern/agent.mjs`, 64 hexadecimal digits. */
  sha256: string;
  /** The invitation. */
  code: string;
}

// Versions as one number each, so that the line can compare them: 26.5.1 is 26005001.
const [[FLOOR_24, FLOOR_26]] = [NODE_FLOORS.map(([major, minor, patch]) => (major * 1000 + minor) * 1000 + patch)];

// What the line runs. No quotes of either kind and no `$`: the text stands in single quotes, and Windows PowerShell drops
// double quotes on the way to a program. Syntax and modules of Node 20, so that an old one gets to say that it is old: the
// agent's file could not, because its imports fail first.
// A child process instead of an import: what the agent forks would inherit `--input-type`, which forked files refuse.
const SCRIPT = [
  "const [url,digest,code]=process.argv.slice(1),{env,platform}=process;",
  "const [{get},{createHash},fs,{homedir},{spawn}]=await Promise.all([url.startsWith(`https:`)?`https`:`http`,`crypto`,`fs`,`os`,`child_process`].map(n=>import(`node:`+n)));",
  "try{const node=process.versions.node.split(`.`).reduce((n,part)=>n*1000+Number(part),0);",
  `if(!(node>=${FLOOR_26}||node>=${FLOOR_24}&&node<25000000))throw Error(\`Node.js \`+process.version+\` is too old; install 26.5.1 or newer\`);`,
  "/* The digest is what is trusted, so TLS is not verified for this one download. */",
  "const file=await new Promise((ok,no)=>get(url+`/.postern/agent.mjs`,{rejectUnauthorized:false,signal:AbortSignal.timeout(120000)},r=>{",
  "const parts=[];let size=0;if(r.statusCode!==200)no(Error(`HTTP status `+r.statusCode));",
  "r.on(`data`,d=>{parts.push(d);if((size+=d.length)>67108864)r.destroy(Error(`it is too large`))}).on(`end`,()=>ok(Buffer.concat(parts))).on(`error`,no)}).on(`error`,no));",
  "if(createHash(`sha256`).update(file).digest(`hex`)!==digest)throw Error(`its SHA-256 is not the promised one; make a new invitation`);",
  "const dir=env.POSTERN_DATA||(platform===`win32`?env.LOCALAPPDATA+`/postern`:platform===`darwin`?homedir()+`/Library/Application Support/postern`:(env.XDG_DATA_HOME||homedir()+`/.local/share`)+`/postern`);",
  "fs.mkdirSync(dir,{recursive:true,mode:448});fs.writeFileSync(dir+`/agent.mjs`,file);",
  "process.on(`SIGINT`,()=>{});",
  "const agent=spawn(process.execPath,[dir+`/agent.mjs`,`agent`,`join`,url,`-`],{stdio:[`pipe`,`inherit`,`inherit`]});",
  "process.on(`SIGTERM`,()=>agent.kill());",
  "agent.on(`exit`,status=>process.exit(status??1)).stdin.on(`error`,()=>{}).end(code)",
  "}catch(e){console.error(`postern: cannot start the agent of `+url+`: `+e.message);process.exitCode=1}",
].join("");

/**
 * One line to paste on the GPU machine, for POSIX shells and PowerShell. It needs Node 20 or newer to start.
 *
 * It downloads the agent from the gateway, checks the SHA-256 that it carries, saves it as `agent.mjs` in the user's data
 * folder and runs `agent join` with it; the invitation goes to the agent on standard input.
 *
 * @throws PosternError `invalid_input` when a part has a character that does not belong there, so that nothing can break
 * out of the quoting.
 */
export function joinLine({ gatewayUrl, sha256, code }: JoinLineParts): string {
  if (
    !/^https?:\/\/[A-Za-z0-9.:[\]-]+$/.test(gatewayUrl) ||
    !/^[0-9a-f]{64}$/.test(sha256) ||
    !/^\w[\w-]*$/.test(code)
  ) {
    throw new PosternError("invalid_input", { message: "Cannot make the line to paste: a part of it is malformed" });
  }
  // zsh and PowerShell read brackets in bare words.
  const url = gatewayUrl.includes("[") ? `'${gatewayUrl}'` : gatewayUrl;
  return `node --input-type=module -e '${SCRIPT}' ${url} ${sha256} ${code}`;
}
