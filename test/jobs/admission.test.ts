import { describe, expect, test } from "vitest";
import { Admission } from "../../src/jobs/admission.js";
import type { SidecarState } from "../../src/sidecar/status.js";
import { FakeSidecar } from "../support/fake-sidecar-view.js";

const PATIENCE_MS = 60_000;

/** What admission says in `state`, after the sidecar was ready before or not. */
function judge(state: SidecarState, { wasReady = false, nextTryInMs = 1_000 } = {}) {
  const sidecar = new FakeSidecar("starting");
  const admission = new Admission(sidecar, PATIENCE_MS);
  if (wasReady) sidecar.set({ state: "ready" });
  sidecar.set({ state, nextTryAt: state === "backing_off" ? Date.now() + nextTryInMs : null });
  return { refusal: admission.refusal(), readyRefusal: admission.readyRefusal() };
}

describe("admission", () => {
  test("takes work when the sidecar is ready", () => {
    expect(judge("ready")).toEqual({ refusal: null, readyRefusal: null });
  });

  test.each(["starting", "loading", "backing_off", "draining"] as const)(
    "on the first load, %s refuses; after a READY it lets work wait; it is never ready",
    (state) => {
      expect(judge(state).refusal?.code).toBe("not_ready");
      expect(judge(state, { wasReady: true }).refusal).toBeNull();
      expect(judge(state, { wasReady: true }).readyRefusal?.code).toBe("not_ready");
    },
  );

  test.each(["failed", "stopped"] as const)("%s refuses for good", (state) => {
    expect(judge(state, { wasReady: true }).refusal?.code).toBe("not_ready");
  });

  test("after a failure for good it says which, without the folders of this machine", () => {
    const sidecar = new FakeSidecar("loading");
    const admission = new Admission(sidecar, PATIENCE_MS);
    const reason = "checkpoint_invalid: /srv/nano/flax_model.msgpack: a/b is missing\na log line";
    sidecar.set({ state: "failed", lastFailure: { code: "checkpoint_invalid", reason, at: 0 } });
    const message =
      "The model cannot be served: checkpoint_invalid: flax_model.msgpack: a/b is missing.";
    expect(admission.refusal()?.message).toBe(message);
    expect(admission.readyRefusal()?.message).toBe(message);
  });

  test.each(["open", "half_open"] as const)("with a breaker that is %s no work waits", (state) => {
    const sidecar = new FakeSidecar("ready");
    const admission = new Admission(sidecar, PATIENCE_MS);
    const breaker = { state, recentFailures: 5, failedTrials: 0 };
    sidecar.set({ state: "backing_off", nextTryAt: Date.now() + 1_000, breaker });
    expect(admission.refusal()?.code).toBe("not_ready");
  });

  test("a try that is minutes away is not waited for", () => {
    const { refusal } = judge("backing_off", { wasReady: true, nextTryInMs: 300_000 });
    expect(refusal?.code).toBe("not_ready");
    expect(refusal?.retryAfterS).toBe(60);
  });

  test("says how soon to come back: after the next try", () => {
    const { refusal } = judge("backing_off", { nextTryInMs: 10_000 });
    expect(refusal?.retryAfterS).toBeGreaterThanOrEqual(10);
    expect(refusal?.retryAfterS).toBeLessThanOrEqual(12);
    expect(refusal?.message).toMatch(/The next try is in (9|10) s/);
  });

  test("says that there is no hope when it is failed, or a trial failed, and not before", () => {
    const sidecar = new FakeSidecar("ready");
    const reasons: string[] = [];
    new Admission(sidecar, PATIENCE_MS).onHopeless(({ code }) => reasons.push(code));
    const open = { state: "open", recentFailures: 5 } as const;
    sidecar.set({ state: "backing_off", nextTryAt: Date.now() + 300_000 });
    sidecar.set({ breaker: { ...open, failedTrials: 0 } });
    expect(reasons).toEqual([]);
    sidecar.set({ breaker: { ...open, failedTrials: 1 } });
    sidecar.set({ state: "failed", breaker: { ...open, failedTrials: 0 } });
    expect(reasons).toEqual(["not_ready", "not_ready"]);
  });

  test("refuses everything while stopping, ready or not", () => {
    const admission = new Admission(new FakeSidecar("ready"), PATIENCE_MS);
    admission.stop();
    expect(admission.refusal()?.code).toBe("shutting_down");
    expect(admission.readyRefusal()?.code).toBe("shutting_down");
  });
});
