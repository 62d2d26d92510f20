/** Loaded into the server by --import: SIGUSR2 collects its garbage, so that its memory can be compared. */
process.on("SIGUSR2", () => {
  for (let pass = 0; pass < 3; pass += 1) globalThis.gc?.();
});
