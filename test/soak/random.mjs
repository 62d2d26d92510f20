/** Random numbers that are the same again for the same seed. */

/**
 * @typedef {object} Random
 * @property {() => number} next uniform in [0, 1)
 * @property {(from: number, to: number) => number} between uniform in [from, to)
 * @property {(from: number, to: number) => number} integer uniform, both ends included
 * @property {<T>(choices: readonly [T, ...T[]]) => T} pick
 * @property {(chance: number) => boolean} chance true so often of 1
 */

/**
 * mulberry32: 32 bits of state are plenty for a schedule.
 *
 * @param {number} seed
 * @returns {Random}
 */
export function createRandom(seed) {
  let state = seed | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  /** @type {Random["integer"]} */
  const integer = (from, to) => from + Math.floor(next() * (to - from + 1));
  return {
    next,
    between: (from, to) => from + next() * (to - from),
    integer,
    pick: (choices) => choices[integer(0, choices.length - 1)] ?? choices[0],
    chance: (share) => next() < share,
  };
}
