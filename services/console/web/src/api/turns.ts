// Bounds the streams of a browser: it opens few connections to a server, and all tabs share them.

/** The most streams of all tabs together; other calls have the rest of the connections. */
const MOST = 2;

/** Runs some work if a stream is free, and returns whether it was. */
export async function withStream(work: () => Promise<void>): Promise<boolean> {
  // A page that is served over HTTP by another machine has no locks.
  if (!navigator.locks) {
    await work();
    return true;
  }
  for (let turn = 0; turn < MOST; turn++) {
    const options = { ifAvailable: true };
    const wasFree = await navigator.locks.request(`onefold-stream-${turn}`, options, async (lock) => {
      if (lock) await work();
      return lock !== null;
    });
    if (wasFree) return true;
  }
  return false;
}
