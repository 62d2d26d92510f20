/** Addresses of repositories on the Hugging Face hub: `hf:owner/name` or `hf:owner/name@revision`. */

const HUB_PREFIX = "hf:";
const HUB_ADDRESS = /^hf:([\w.-]+\/[\w.-]+)(@[\w./-]+)?$/;

/** Whether a checkpoint is named by its repository on the hub and not by a folder. */
export function isHubAddress(place: string): boolean {
  return place.startsWith(HUB_PREFIX);
}

/** Whether `text` is `hf:owner/name` or `hf:owner/name@revision`. */
export function isValidHubAddress(text: string): boolean {
  return HUB_ADDRESS.test(text);
}

/** The address of a repository, at a revision if one is given. */
export function formatHubAddress(repo: string, revision?: string): string {
  return revision === undefined ? `${HUB_PREFIX}${repo}` : `${HUB_PREFIX}${repo}@${revision}`;
}
