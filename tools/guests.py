"""Interpreters that no installer puts on this machine: GraalPy from Maven Central, Pyodide from npm.

They lie under .cache/ once they are fetched.  Neither has an environment of its own: what they import lies in a folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

__all__ = ["GUESTS", "Guest"]

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent / ".cache"

GRAALPY = "25.0.3"
PYODIDE = "314.0.7"

Run = Callable[[Sequence[str]], str]
"""Runs a command; raises RuntimeError with what it said when it fails."""


class Guest(NamedTuple):
    """An interpreter that has to be fetched first."""

    full_name: str
    needs: Sequence[str]
    """Programs that fetch and run it."""

    fetch: Callable[[Run], None]
    command: Callable[[Path], tuple[list[str], dict[str, str]]]
    """The command that runs a file under it, but for the file's own arguments, and variables; takes the folder that
    it imports from."""

    jobs: Sequence[str]
    """Of tools/smoke.py."""

    def missing(self) -> str | None:
        """A program that it needs and that is not here."""
        return next((name for name in self.needs if shutil.which(name) is None), None)


POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>puremux</groupId><artifactId>graalpy</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.graalvm.polyglot</groupId><artifactId>python-community</artifactId>
      <version>{version}</version><type>pom</type>
    </dependency>
    <dependency>
      <groupId>org.graalvm.python</groupId><artifactId>python-launcher</artifactId><version>{version}</version>
    </dependency>
  </dependencies>
</project>
"""


def _graalpy() -> Path:
    return CACHE / f"graalpy-{GRAALPY}"


def _fetch_graalpy(run: Run) -> None:
    ready = _graalpy() / "ready"
    if not ready.exists():
        _graalpy().mkdir(parents=True, exist_ok=True)
        (_graalpy() / "pom.xml").write_text(POM.format(version=GRAALPY))
        copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={_graalpy() / 'lib'}"]
        run(["mvn", "--batch-mode", "--quiet", "--file", str(_graalpy() / "pom.xml"), *copy])
        ready.touch()


def _graalpy_command(folder: Path) -> tuple[list[str], dict[str, str]]:
    launcher = "com.oracle.graal.python.shell.GraalPythonMain"
    command = ["java", "-XX:+UseSerialGC", "-cp", f"{_graalpy() / 'lib'}/*", launcher, str(HERE / "smoke.py")]
    return command, {"PYTHONPATH": str(folder)}


def _pyodide() -> Path:
    return CACHE / f"pyodide-{PYODIDE}"


def _fetch_pyodide(run: Run) -> None:
    if not (_pyodide() / "node_modules" / "pyodide").exists():
        _pyodide().mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"]
        run([*install, "--prefix", str(_pyodide()), f"pyodide@{PYODIDE}"])


def _pyodide_command(folder: Path) -> tuple[list[str], dict[str, str]]:
    module = _pyodide() / "node_modules" / "pyodide" / "pyodide.mjs"
    return ["node", str(HERE / "pyodide.mjs"), str(module), str(folder), str(HERE / "smoke.py")], {}


GUESTS = {
    "graalpy": Guest(f"GraalPy {GRAALPY}", ("java", "mvn"), _fetch_graalpy, _graalpy_command, ["both"]),
    "pyodide": Guest(f"Pyodide {PYODIDE}", ("node", "npm"), _fetch_pyodide, _pyodide_command, ["memory"]),
}
