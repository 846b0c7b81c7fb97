"""The options of ``puremux agent``: from the command line, from a TOML file, or as they are if nobody says otherwise.

Floor 5, agent: imports limits and errors; tomllib, or tomli below Python 3.11, when a file is read.

Every option can stand in the file, under its name with ``_`` for ``-``; the limits stand in a table of their own::

    listen = "0.0.0.0:55678"
    prometheus = "127.0.0.1:8889"
    config_push = "probability=0.1"

    [limits]
    max_connections = 2000

What the command line says holds, whatever the file says.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import PuremuxError
from .limits import AgentLimits

__all__ = ["ConfigError", "add_options", "gather", "read_file"]

LARGEST_FILE = 1024 * 1024  # bytes; there are files without an end

DEFAULTS: Mapping[str, Any] = {"listen": "localhost:55678", "grace": 5.0, "live": False, "limits": {}}
LIMITS = {field.name: field.type for field in dataclasses.fields(AgentLimits)}


class ConfigError(PuremuxError):
    """A configuration file cannot be used; the message names the file, and the key."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options.  None of them has a default here: what is not given may stand in the file."""
    add = parser.add_argument
    add("--config", metavar="FILE", help="a TOML file with any of these options; those given here hold against it")
    add("--listen", metavar="ADDRESS", help=f"HOST:PORT or unix:/path; default: {DEFAULTS['listen']}")
    add("--prometheus", metavar="HOST:PORT", help="serve the metrics of all clients there, at /metrics")
    add("--zpages", metavar="HOST:PORT", help="serve pages about the agent and its clients there, at /debug")
    add("--spans", metavar="FILE", help="append each span as a line of JSON; - for standard output")
    add("--forward", metavar="ADDRESS", help="hand everything on to the agent or Collector there")
    add("--forward-insecure", action="store_true", default=None, help="to there without TLS, even on another machine")
    add("--forward-ca", metavar="FILE", help="PEM file of the issuers of that agent's certificate")
    add("--tls-cert", metavar="FILE", help="PEM file of the agent's certificate and its chain: serve with TLS")
    add("--tls-key", metavar="FILE", help="PEM file of its key, if that is not in the certificate's file")
    add("--tls-client-ca", metavar="FILE", help="PEM file of the issuers of client certificates, then required (mTLS)")
    add("--config-push", metavar="SAMPLER", help="ask all clients for: always, never, parent, probability=0.1, rate=10")
    add("--grace", metavar="SECONDS", type=float, help=f"for the end in good order; default: {DEFAULTS['grace']:g}")
    limit = "another limit, such as max_clients=500; may be repeated"
    add("--limit", metavar="NAME=VALUE", action="append", type=_limit, dest="limits", help=limit)
    add("--live", action="store_true", default=None, help="show clients, rates and errors in place")


def gather(options: argparse.Namespace) -> argparse.Namespace:
    """The options in force, from the command line, the file and the defaults; ``limits`` become AgentLimits.

    Raises:
        ConfigError: the file cannot be used.
        ValueError: a limit cannot be.
    """
    given = {name: value for name, value in vars(options).items() if value is not None}
    limits = dict(given.pop("limits", ()))
    path = given.get("config")
    found = read_file(path, vars(options)) if path is not None else {}
    merged = {**dict.fromkeys(vars(options)), **DEFAULTS, **found, **given}
    merged["limits"] = AgentLimits(**{**merged["limits"], **limits})
    if not merged["grace"] >= 0:
        raise ValueError(f"--grace takes seconds from 0 up, not {merged['grace']!r}")
    return argparse.Namespace(**merged)


def read_file(path: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The options in a TOML file.

    Args:
        known: the names that there are.
    Raises:
        ConfigError: it cannot be read, or has a key or a value that is none; the message names the file and the key.
    """
    try:
        found = _toml().loads(_text_of(path))
    except RecursionError:
        raise ConfigError(f"{path} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{path} cannot be read: {reason}") from None
    for key, value in found.items():
        if key not in known or key == "config":
            names = ", ".join(sorted({*known} - {"config"}))
            raise ConfigError(f"{path}: there is no option {key!r}; there are {names}")
        _check(path, key, value)
    return dict(found)


def _text_of(path: str) -> str:
    with Path(path).open("rb") as file:
        data = file.read(LARGEST_FILE + 1)
    if len(data) > LARGEST_FILE:
        raise ValueError(f"it has more than {LARGEST_FILE} bytes")
    return data.decode()


def _check(path: str, key: str, value: Any) -> None:
    if key == "limits":
        _check_limits(path, value)
        return
    wanted, words = _kind(key)
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool) or "\0" in str(value):
        raise ConfigError(f"{path}: {key} takes {words}, not {value!r}")


def _check_limits(path: str, limits: Any) -> None:
    if not isinstance(limits, dict):
        raise ConfigError(f"{path}: limits is a table, not {limits!r}")
    for name in limits:
        if name not in LIMITS:
            raise ConfigError(f"{path}: there is no limit {name!r}; there are {', '.join(LIMITS)}")
    try:
        AgentLimits(**limits)
    except ValueError as error:
        raise ConfigError(f"{path}: {str(error).replace('AgentLimits: ', 'limits.')}") from None


def _kind(key: str) -> tuple[Any, str]:
    if key == "grace":
        return (int, float), "a number of seconds"
    return (bool, "true or false") if key in ("live", "forward_insecure") else (str, "a text")


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in LIMITS:
        raise argparse.ArgumentTypeError(f"there is no limit {name!r}; there are {', '.join(LIMITS)}")
    try:
        return name, (float if LIMITS[name] == "float" else int)(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{name} takes a number, not {value!r}") from None


def _toml() -> Any:
    name = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error}; a configuration file needs it: pip install 'puremux[agent]'") from None
