#!/usr/bin/env node
// Starts the program of this machine, which is in this package: nothing is downloaded, and nothing
// runs when the package is installed.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");
const { basename, join } = require("node:path");

const folders = { x64: "linux_amd64", arm64: "linux_arm64", arm: "linux_arm_v7" };
const folder = process.platform === "linux" ? folders[process.arch] : undefined;
if (folder === undefined) {
  console.error(`cib: there is no program for ${process.platform} on ${process.arch} in this package`);
  process.exit(1);
}

// git starts this by another name, and the program goes by its name.
const child = spawn(join(__dirname, "bin", folder, "cib"), process.argv.slice(2), {
  argv0: basename(process.argv[1]),
  stdio: "inherit",
});
// The terminal tells both of Ctrl-C; whoever tells this one alone means the other.
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => {});
child.on("error", (error) => {
  console.error(`cib: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  process.exit(code ?? 128 + constants.signals[signal]);
});
