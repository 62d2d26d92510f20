/** Names of folders, from prompts and times. */

/** Bytes of UTF-8 kept of a prompt: with the date before it, far below the 255 of every file system. */
const MAX_NAME_BYTES = 120;
/** Two joiners are kept, because emoji families and several scripts are written with them. */
const INVISIBLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]|(?![\u200c\u200d])\p{Cf}/gu;
/** Forbidden in names on Windows; the two separators of folders are among them. */
const FORBIDDEN = /[<>:"/\\|?*]/g;
const RESERVED_ON_WINDOWS = /^(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)/i;

/**
 * Turns a prompt into one part of a path: never empty, no separator, no `..`, at most 120 bytes, and
 * valid on Linux, macOS and Windows.
 */
export function createSafeName(prompt: string): string {
  const visible = prompt
    .normalize("NFC")
    .replace(INVISIBLE, "_")
    .replace(FORBIDDEN, "_")
    .replace(/\s+/gu, " ");
  const trimmed = trimEnds(cutToBytes(trimEnds(visible), MAX_NAME_BYTES));
  const name = trimmed.replace(RESERVED_ON_WINDOWS, "$1_");
  return name === "" ? "untitled" : name;
}

/** Local date and time as `YYYY-MM-DD_HH-MM-SS`. */
export function formatStamp(time: Date): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const date = [time.getFullYear(), two(time.getMonth() + 1), two(time.getDate())].join("-");
  return `${date}_${[time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join("-")}`;
}

/** Windows drops dots and spaces at the end; a dot at the start hides a folder elsewhere. */
function trimEnds(text: string): string {
  return text.replace(/^[. ]+/, "").replace(/[. ]+$/, "");
}

/** Cuts between characters as people see them, so that no letter loses its accent. */
function cutToBytes(text: string, maxBytes: number): string {
  const kept: string[] = [];
  let byteCount = 0;
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    byteCount += Buffer.byteLength(segment);
    if (byteCount > maxBytes) break;
    kept.push(segment);
  }
  return kept.join("");
}
