/** From command line arguments and variables to checked settings, or to what is wrong with them. */
import { FLAGS, settingsSchema, type Settings } from "./flags.js";
import { findNearest } from "./nearest.js";

const ENV_PREFIX = "DALLE_";
/** Variables of the set-up, and those that the server gives to its sidecar; never settings. */
const OTHER_VARIABLES = /^DALLE_(?:PYTHON$|SETUP_|SIDECAR_)/;
/** What Kubernetes and Docker set for each service that a container can see, named after the service. */
const SERVICE_LINK = /_(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)$/;
const SERVICE_ADDRESS = /^(?:tcp|udp|sctp):\/\//;
const FLAG_NAMES = FLAGS.map((flag) => flag.name);

interface RawValue {
  readonly text: string;
  /** How the user wrote it: `--port` or `DALLE_PORT`. */
  readonly source: string;
}

interface Arguments {
  readonly values: ReadonlyMap<string, RawValue>;
  readonly action: "serve" | "help" | "help_all" | "version";
  readonly problems: readonly string[];
}

interface Environment {
  readonly values: ReadonlyMap<string, RawValue>;
  /** What was ignored, a sentence each. */
  readonly warnings: readonly string[];
}

/** The environment variable of a flag: `save_to_disk` is `DALLE_SAVE_TO_DISK`. */
function envName(flagName: string): string {
  return `${ENV_PREFIX}${flagName.toUpperCase()}`;
}

/** Reads command line arguments: `--flag value`, `--flag=value`, snake_case or kebab-case. */
export function readFlags(argv: readonly string[]): Arguments {
  const values = new Map<string, RawValue>();
  const problems: string[] = [];
  let action: Arguments["action"] = "serve";
  const rest = [...argv];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const [, written, inline] = /^--([^=]*)(?:=([^]*))?$/.exec(argument) ?? [];
    if (argument === "--help" || argument === "-h") {
      action = rest[0] === "all" ? "help_all" : "help";
      if (action === "help_all") rest.shift();
    } else if (argument === "--version") action = "version";
    else if (written === undefined) {
      problems.push(`unexpected argument ${quote(argument)}: settings are given as --flag value`);
    } else {
      const hasValue = inline === undefined && rest[0]?.startsWith("--") === false;
      const given = hasValue ? rest.shift() : inline;
      const name = written.toLowerCase().replaceAll("-", "_");
      const flag = FLAGS.find((known) => known.name === name);
      const text = given ?? (flag?.isSwitch === true ? "true" : null);
      if (flag === undefined) {
        problems.push(describeUnknown(written, name));
      } else if (text === null) problems.push(`--${name} needs a value: ${flag.placeholder}`);
      else values.set(name, { text, source: `--${name}` });
    }
  }
  return { values, action, problems };
}

/**
 * Reads `DALLE_*` variables. An empty variable counts as not set; one that is no setting of ours is
 * only a warning, for other programs may share the prefix.
 */
export function readEnvironment(env: Readonly<Record<string, string | undefined>>): Environment {
  const values = new Map<string, RawValue>();
  const unknown: string[] = [];
  const links: string[] = [];
  const known = new Map(FLAG_NAMES.map((name) => [envName(name), name]));
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith(ENV_PREFIX) || text === undefined || text === "") continue;
    const name = known.get(variable);
    if (SERVICE_ADDRESS.test(text) || SERVICE_LINK.test(variable)) links.push(variable);
    else if (name !== undefined) values.set(name, { text, source: variable });
    else if (!OTHER_VARIABLES.test(variable)) unknown.push(describeVariable(variable));
  }
  const warnings: string[] = [];
  if (unknown.length > 0)
    warnings.push(`Ignored environment variables that are not settings: ${unknown.join(", ")}`);
  if (links.length > 0) {
    const remedy = "enableServiceLinks: false in the pod's specification turns them off";
    const names = links.join(", ");
    warnings.push(`Ignored the service links of Kubernetes or Docker in ${names}; ${remedy}`);
  }
  return { values, warnings };
}

function describeVariable(variable: string): string {
  const nearest = findNearest(variable.slice(ENV_PREFIX.length).toLowerCase(), FLAG_NAMES);
  return nearest === null ? variable : `${variable} (did you mean ${envName(nearest)}?)`;
}

/** Checks the values against the table; every wrong one becomes a sentence in `problems`. */
export function checkValues(values: ReadonlyMap<string, RawValue>): {
  settings: Settings | null;
  problems: readonly string[];
} {
  const input = FLAGS.map((flag) => [flag.name, values.get(flag.name)?.text ?? flag.default]);
  const parsed = settingsSchema.safeParse(Object.fromEntries(input));
  if (parsed.success) return { settings: parsed.data, problems: [] };
  const problems = parsed.error.issues.map((issue) => {
    const name = String(issue.path[0]);
    const { text, source } = values.get(name) ?? { text: "", source: `--${name}` };
    const expected = issue.code === "too_small" && text === "" ? "not empty" : issue.message;
    return `${source} must be ${expected}; got ${quote(text)}`;
  });
  return { settings: null, problems };
}

function describeUnknown(written: string, name: string): string {
  const nearest = findNearest(name, FLAG_NAMES);
  const hint = nearest === null ? "--help all lists the valid ones" : `did you mean --${nearest}?`;
  return `unknown flag ${quote(`--${written}`)}: ${hint}`;
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
