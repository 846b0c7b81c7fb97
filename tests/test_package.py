"""What pip installs: built from a copy of this checkout, as a source distribution and then, from that, as a wheel."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from pathlib import Path

import pytest

import puremux

ROOT = Path(__file__).resolve().parent.parent
BUILT = re.compile(r"\.git|\.venvs?|\.cache|build|dist|_build|__pycache__|\..*_cache|\.hypothesis")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the two archives.  Built in the environment of the tests: isolation would only fetch it again."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(folder),
        str(_copy_of_the_checkout(folder)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _copy_of_the_checkout(folder: Path) -> Path:
    """Only what git holds or would hold: leftovers of earlier builds must not help this one."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    copy = folder / "checkout"
    for name in filter(None, names.split("\0")):
        source, target = ROOT / name, copy / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
    return copy


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    """The one wheel, which runs anywhere."""
    (path,) = built.glob("*.whl")
    assert path.name == f"puremux-{puremux.__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    """What the wheel says of itself."""
    return email.message_from_bytes(wheel.read(f"{_info()}/METADATA"))


def _info() -> str:
    return f"puremux-{puremux.__version__}.dist-info"


def test_the_wheel_installs_puremux_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert {name.split("/")[0] for name in wheel.namelist()} == {"puremux", _info()}
    assert not [name for name in wheel.namelist() if "test" in name]


def test_the_wheel_holds_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    listed = ["git", "ls-files", "puremux"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert "puremux/py.typed" in names
    assert not {name for name in names if (ROOT / name).exists()} - set(wheel.namelist())


def test_the_wheel_carries_the_license(wheel: zipfile.ZipFile, metadata: Message) -> None:
    (license_file,) = [name for name in wheel.namelist() if name.endswith("/LICENSE")]
    assert wheel.read(license_file) == (ROOT / "LICENSE").read_bytes()
    assert "Apache-2.0" in (metadata["License"], metadata["License-Expression"])


def test_the_base_needs_three_libraries(metadata: Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert sorted(re.split(r"[^\w-]", need)[0] for need in needs) == ["h2", "hpack", "protobuf"]
    assert metadata["Requires-Python"] == ">=3.9"


@pytest.mark.parametrize("extra", ["agent", "bench", "cli", "docs", "opencensus", "test", "zpages"])
def test_an_extra_is_there(metadata: Message, extra: str) -> None:
    assert extra in metadata.get_all("Provides-Extra", [])


def test_the_console_script(wheel: zipfile.ZipFile) -> None:
    entry_points = wheel.read(f"{_info()}/entry_points.txt").decode()
    assert "puremux = puremux.cli:main" in entry_points


def test_the_source_distribution_holds_the_tests_and_nothing_built(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [Path(name).relative_to(f"puremux-{puremux.__version__}") for name in archive.getnames()]
    wanted = ["LICENSE", "Makefile", "README.md", "tests/test_package.py", "proto_gen/generate.py", "setup.cfg"]
    assert not {Path(name) for name in wanted} - set(names)
    assert not [name for name in names if any(BUILT.fullmatch(part) for part in name.parts)]


def test_the_wheel_is_imported_where_nothing_else_is_installed(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.whl")
    venv.create(tmp_path, with_pip=False)
    python = tmp_path / "bin" / "python"
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import puremux; print(puremux.__file__, puremux.__version__)"
    )
    command = [str(python), "-I", "-c", program, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(path / "puremux" / "__init__.py"), puremux.__version__]
