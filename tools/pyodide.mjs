// Runs a Python file under Pyodide, in Node: node pyodide.mjs PYODIDE.MJS SITE FILE [ARGUMENT ...]
// SITE is the folder that it imports from.  The file sees its own folder, SITE, and nothing else of this machine.
import path from "node:path";
import { pathToFileURL } from "node:url";

const [module, site, file, ...rest] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(module).href);
const python = await loadPyodide();
for (const [root, at] of [[site, "/site"], [path.dirname(file), "/program"]]) {
  python.FS.mkdirTree(at);
  python.FS.mount(python.FS.filesystems.NODEFS, { root }, at);
}
python.globals.set("argv", python.toPy([`/program/${path.basename(file)}`, ...rest]));
python.runPython(`
import runpy, sys
sys.path.insert(0, "/site")
sys.argv = list(argv)
runpy.run_path(sys.argv[0], run_name="__main__")
`);
