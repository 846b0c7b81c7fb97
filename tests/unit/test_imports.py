"""Rules of the house that import-linter does not know: what is imported when, what each module says of itself."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import puremux

PACKAGE = Path(puremux.__file__).parent
ROOT = Path(__file__).resolve().parents[2]
GENERATED = PACKAGE / "proto"
SOURCES = sorted(PACKAGE.rglob("*.py"))
WRITTEN = [path for path in SOURCES if path.parent != GENERATED]
TESTS, BENCH = (sorted((ROOT / name).rglob("*.py")) for name in ("tests", "bench"))


def in_package(path: Path) -> str:
    """A test's id: where the module lies."""
    return path.relative_to(PACKAGE).as_posix()


def in_checkout(path: Path) -> str:
    """The same for what is no part of the package."""
    return path.relative_to(ROOT).as_posix()


def run(program: str, **environment: str) -> str:
    """What a program prints in an interpreter of its own."""
    command = [sys.executable, "-W", "error", "-c", program]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200, check=True).stdout


# What `import puremux` gives.


def test_every_public_name_is_in_the_all_of_its_module() -> None:
    for name, home in puremux._HOME.items():
        assert name in importlib.import_module(f"puremux.{home}").__all__, f"{home} does not offer {name}"


def test_every_public_name_can_be_had() -> None:
    assert sorted(puremux.__all__) == dir(puremux)
    for name in puremux.__all__:
        assert getattr(puremux, name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'puremux' has no attribute 'Exporters'"):
        puremux.Exporters  # noqa: B018  the look-up is what is tested


def test_types_are_told_about_every_public_name() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    told = {
        (alias.name, node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert not set(puremux._HOME.items()) - told


@pytest.mark.parametrize("heavy", ["google.protobuf", "h2", "ssl", "socket", "threading"])
def test_import_puremux_is_cheap(heavy: str) -> None:
    assert run(f"import sys, puremux; print({heavy!r} in sys.modules)") == "False\n"


@pytest.mark.parametrize(
    "heavy",
    ["ssl", "asyncio", "email", "http", "importlib.metadata", "opencensus", "google.protobuf", "puremux.server"],
)
def test_a_started_exporter_loads_nothing_that_it_does_not_need(heavy: str) -> None:
    program = "import sys, puremux; puremux.Exporter('127.0.0.1:1').start(); print({!r} in sys.modules)"
    assert run(program.format(heavy)) == "False\n"


LATE = [
    "h2.connection",
    "hpack",
    "dataclasses",
    "inspect",
    "gzip",
    "random",
    "datetime",
    "numbers",
    "google.protobuf",
    "puremux.exporter.spans",
    "puremux.exporter.metrics",
    "puremux.exporter.reading",
    "puremux.multicallable",
]


@pytest.mark.parametrize("heavy", LATE)
def test_what_is_needed_later_is_loaded_later(heavy: str) -> None:
    """With the first connection, the first spans, the first call of the application's, or the first failure."""
    program = "import sys, puremux; puremux.Exporter('127.0.0.1:1', start=False); print({!r} in sys.modules)"
    assert run(program.format(heavy)) == "False\n"


@pytest.mark.parametrize("heavy", ["ipaddress", "urllib.parse"])
def test_what_reads_addresses_that_are_no_names_is_loaded_for_them(heavy: str) -> None:
    program = (
        "import sys; sys.path[:0] = {!r}; import puremux; before = {!r} in sys.modules;"
        "puremux.Exporter('agent:1', insecure=True, start=False); print(before, {!r} in sys.modules)"
    )
    found = [str(PACKAGE.parent), *(path for path in sys.path if path.endswith("site-packages"))]
    command = [sys.executable, "-I", "-S", "-c", program.format(found, heavy, heavy)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False False\n"


@pytest.mark.parametrize("absent", ["grpc", "opencensus", "prometheus_client", "jinja2", "rich"])
def test_the_base_runs_where_something_is_absent(absent: str) -> None:
    """Every public name can be had where an extra's library, or the library that is replaced, cannot be imported."""
    names = "; ".join(f"puremux.{name}" for name in puremux.__all__)
    assert run(f"import sys; sys.modules[{absent!r}] = None; import puremux; {names}; print('ok')") == "ok\n"


@pytest.mark.parametrize(
    "module",
    [
        "puremux",
        "puremux.protocol.connection",
        "puremux.proto.trace_service_pb2",
        "puremux.proto.metrics_service_pb2",
        "puremux.exporter.spans",
        "puremux.exporter.metrics",
        "puremux.exporter.spans_pb",
        "puremux.exporter.metrics_pb",
    ],
)
def test_what_needs_no_socket_is_imported_where_there_is_none(module: str) -> None:
    """As in a browser, or in an image without OpenSSL."""
    absent = ("socket", "_socket", "ssl", "_ssl", "select", "selectors")
    assert run(f"import sys; sys.modules.update(dict.fromkeys({absent})); import {module}; print('ok')") == "ok\n"


@pytest.mark.timeout(240)  # more than a hundred imports
def test_importing_a_module_first_makes_no_circle(tmp_path: Path) -> None:
    """Each module can be the first one that a program imports."""
    modules = [".".join(("puremux", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in WRITTEN]
    names = [name[: -len(".__init__")] if name.endswith(".__init__") else name for name in modules]
    program = f"""
import importlib, sys
for name in {names!r}:
    for loaded in [loaded for loaded in sys.modules if loaded.split('.')[0] == 'puremux']:
        del sys.modules[loaded]
    importlib.import_module(name)
print('ok')
"""
    # Each module is compiled once, wherever the machine keeps bytecode or does not.
    assert run(program, PYTHONDONTWRITEBYTECODE="", PYTHONPYCACHEPREFIX=str(tmp_path)) == "ok\n"


# What import-linter takes for one: it knows packages from outside only by their first name.


@pytest.mark.parametrize("path", SOURCES, ids=in_package)
def test_h2_is_seen_by_the_protocol_only(path: Path) -> None:
    """The names of HTTP/2's error codes are words that every floor may use; all else of h2 stays on floor 2."""
    if PACKAGE / "protocol" in path.parents:
        return
    allowed = {"h2.errors"}
    if path == PACKAGE / "wire" / "headers.py":  # it shows what HPACK does, with HPACK's own table and Huffman code
        allowed |= {"hpack", "hpack.hpack", "hpack.huffman_table", "hpack.table"}
    seen = {name for name in imported(path) if name.split(".")[0] in {"h2", "hpack", "hyperframe"}}
    assert not seen - allowed


def imported(path: Path) -> set[str]:
    """The modules that a file imports by their whole names."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}


# Who of the tests and benchmarks may import whom.


@pytest.mark.parametrize("path", BENCH, ids=in_checkout)
def test_a_benchmark_needs_no_test(path: Path) -> None:
    allowed = ("tests.shared.", "tests.interop.harness.", "tests.interop.grpc_peers")
    seen = {name for name in imported(path) if name.split(".")[0] == "tests"}
    assert not {name for name in seen if not name.startswith(allowed)}


@pytest.mark.parametrize("path", [*TESTS, *BENCH], ids=in_checkout)
def test_a_test_is_imported_by_nobody(path: Path) -> None:
    """Nor by the programs that tests run, which would then load pytest."""
    imports = re.findall(r"^\s*(?:from|import) .*", path.read_text(), re.MULTILINE)
    assert not [each for each in imports if re.search(r"(?:\.|from )test_\w+ import|import .*\btest_", each)]


def test_what_is_shared_needs_no_directory_of_tests() -> None:
    seen = {name for path in (ROOT / "tests" / "shared").glob("*.py") for name in imported(path)}
    assert not {name for name in seen if name.startswith("tests.") and not name.startswith("tests.shared.")}


# How the source is laid out.


@pytest.mark.parametrize("path", WRITTEN, ids=in_package)
def test_a_module_says_which_floor_it_is_on(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    title = docstring.partition("\n")[0]
    assert title.endswith((".", ":", "?")), "the first line is one sentence"
    if path != PACKAGE / "__init__.py":
        assert re.search(r"^Floor [1-5], ", docstring, re.MULTILINE)


EXPORTER = [path for path in WRITTEN if path.parent.name == "exporter" and path.name != "__init__.py"]


@pytest.mark.parametrize("path", EXPORTER, ids=in_checkout)
def test_a_module_of_the_exporter_names_its_neighbours_that_it_imports(path: Path) -> None:
    tree = ast.parse(path.read_text())
    said = (ast.get_docstring(tree) or "").partition("\nFloor ")[2].partition("\nS")[0]
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 1]
    neighbours = {node.module or alias.name for node in imports for alias in node.names}
    assert not {name for name in neighbours if not re.search(rf"\b{name}\b|most of its neighbours|the rest of", said)}


@pytest.mark.parametrize("path", [*WRITTEN, *TESTS, *BENCH], ids=in_checkout)
def test_a_file_and_its_classes_have_a_size_that_one_can_read(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 500
    classes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    assert not [node.name for node in classes if (node.end_lineno or 0) - node.lineno >= 350]
