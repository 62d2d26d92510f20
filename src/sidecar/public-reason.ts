const MAX_LENGTH = 300;

/** Why a sidecar ended, in one line and without folders of this machine: the answer is open to everybody. */
export function tellReason(reason: string): string {
  const firstLine = reason.split("\n", 1)[0] ?? "";
  return firstLine
    .replace(/(^|[\s"'(=:])(?:\/[^\s/"'):]+)+\/([^\s/"'):]+)/g, "$1$2")
    .slice(0, MAX_LENGTH);
}
