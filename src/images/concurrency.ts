/** Makes a function that runs asynchronous work, at most `limit` pieces at once, the rest in order. */
export function limitConcurrency(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = [];
  let activeCount = 0;
  const leave = () => {
    const next = waiting.shift();
    if (next === undefined) activeCount -= 1;
    else next();
  };
  return async (work) => {
    if (activeCount < limit) activeCount += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      leave();
    }
  };
}
