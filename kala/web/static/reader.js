// Reading again what has changed, without asking more than is good.

// Calls `read(signal)` when it is wanted: at once after a silence, otherwise every `every` ms at most, and never twice at a
// time. `signal` ends it. `onFault(error)` is told of what `read` raises; with `read`'s success `onFault(null)`. What is no
// `Fault` is a bug of the page's, and told in any case.
export function reader(read, { every = 500, signal, onFault }) {
  let wanted = false;
  let timer = null;
  let reading = false;
  let begun = -Infinity;

  async function go() {
    timer = null;
    if (signal.aborted) return;
    wanted = false;
    reading = true;
    begun = performance.now();
    try {
      await read(signal);
      if (!signal.aborted) onFault?.(null);
    } catch (error) {
      if (!signal.aborted) {
        if (error.status === undefined) reportError(error);
        onFault?.(error);
      }
    } finally {
      reading = false;
    }
    if (wanted) plan();
  }

  function plan() {
    if (reading || timer !== null || signal.aborted) return;
    // what is not seen is read when it is
    if (document.hidden) return;
    timer = setTimeout(go, Math.max(0, begun + every - performance.now()));
  }

  function want() {
    wanted = true;
    plan();
  }

  signal.addEventListener("abort", () => clearTimeout(timer));
  document.addEventListener("visibilitychange", () => wanted && plan(), { signal });
  return { want };
}

// Calls `task` every so many ms until the signal is aborted.
export function every(time, task, signal) {
  const timer = setInterval(task, time);
  signal.addEventListener("abort", () => clearInterval(timer));
}
