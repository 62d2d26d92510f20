import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { listDevices, shareDevices } from "../../src/config/devices.js";
import { makeFolder } from "../support/folder.js";

describe("the devices", () => {
  test.each([
    ["0,2", ["0", "2"]],
    [" 1 , GPU-abc ", ["1", "GPU-abc"]],
    ["0,-1,2", ["0"]],
    ["", []],
  ])("are those of CUDA_VISIBLE_DEVICES=%s", (visible, devices) => {
    expect(listDevices(visible)).toEqual(devices);
  });

  test("are the device files in the order of their numbers, when no variable says otherwise", async () => {
    const folder = makeFolder();
    for (const name of ["nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"]) {
      await writeFile(path.join(folder, name), "");
    }
    expect(listDevices(undefined, folder)).toEqual(["2", "10"]);
    expect(listDevices(undefined, path.join(folder, "nowhere"))).toEqual([]);
  });
});

describe("sharing them out", () => {
  test.each([
    ["one sidecar without devices", null, [], [null]],
    ["one sidecar sees all", 1, ["0", "1"], [null]],
    ["as many sidecars as devices", null, ["0", "1"], ["0", "1"]],
    ["more sidecars than devices", 3, ["4", "5"], ["4", "5", "4"]],
    ["several sidecars without devices", 2, [], [null, null]],
  ] as const)("%s", (_title, wanted, devices, shared) => {
    expect(shareDevices(wanted, devices)).toEqual(shared);
  });
});
