"""The command line: ``puremux demo``, ``puremux agent``, and what else there is to run.

Floor 5, the top: imports errors; the chosen command is imported when it is chosen, so that the others cost nothing.
A command is a module with ``add_options(parser)`` and ``run(options)``, which returns the exit code.
"""

from __future__ import annotations

import argparse
import codecs
import importlib
import io
import os
import sys
from collections.abc import Sequence

from ._version import __version__
from .errors import PuremuxError

__all__ = ["main"]

COMMANDS = {  # name: the module, and what it does
    "demo": ("puremux.demo.command", "see spans and metrics of a small program reach an agent"),
    "agent": ("puremux.agent.command", "run an agent: metrics of all clients on one Prometheus page"),
    "probe": ("puremux.probe.command", "say what is at an address, and what to do if it is not what it should be"),
    "wire": ("puremux.wire.command", "see what goes over a connection, byte by byte, from a file or as a proxy"),
}

ANYHOW = "puremux.anyhow"  # how an error handler of codecs is called
PLAIN = {"─": "-", "▶": ">", "◀": "<", "…": "...", "·": ".", "→": "->", "✓": "ok", "✗": "!!", "–": "-"}

CANNOT = 2  # exit code, as argparse's
INTERRUPTED = 130  # 128 + SIGINT, as shells tell it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``puremux``.

    Args:
        arguments: what stands behind the program's name; None for ``sys.argv``.
    Returns:
        The exit code: 0 when it went well, 2 when it could not begin, 130 after Ctrl-C; others are the command's.
    """
    _open_closed_streams()
    _write_whatever_it_is()
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = _parser().parse_args(words[:1]).command
    module, purpose = COMMANDS[name]
    try:
        command = importlib.import_module(module)
        parser = argparse.ArgumentParser(prog=f"puremux {name}", description=f"{purpose[0].upper()}{purpose[1:]}.")
        command.add_options(parser)
        return int(command.run(parser.parse_args(words[1:])))
    except BrokenPipeError:  # who read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (PuremuxError, OSError, ValueError) as error:
        print(f"puremux {name}: {_sentence(error)}", file=sys.stderr)
        return CANNOT
    except KeyboardInterrupt:
        return INTERRUPTED


def _open_closed_streams() -> None:
    """Take the place of a standard stream that the shell has closed, lest a socket do, and get what is printed.

    Whoever prints on an output that is closed hears of it, as from any other program; errors go nowhere.
    """
    for descriptor, name, flags in ((0, "stdin", os.O_RDONLY), (1, "stdout", os.O_RDONLY), (2, "stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            if os.open(os.devnull, flags) != descriptor:
                return  # it is only hidden, as from a program with a window
            raw = io.FileIO(descriptor, "r" if name == "stdin" else "w", closefd=False)
            # Without a buffer, which Python would try to write again at the end.
            setattr(sys, name, io.TextIOWrapper(raw, encoding="utf-8", errors="replace", write_through=True))


def _write_whatever_it_is() -> None:
    """Have characters that an output has no bytes for, as an ASCII terminal has none for arrows, written otherwise."""
    codecs.register_error(ANYHOW, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # else somebody has put something of his own in its place
            stream.reconfigure(errors=ANYHOW)


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(PLAIN.get(each, "?") for each in error.object[error.start : error.end]), error.end


def _sentence(error: Exception) -> str:
    """An error in words; the system's number for it tells nobody anything."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="puremux",
        description="Traces and metrics to an OpenCensus Agent, without grpcio.",
        epilog="commands:\n" + "\n".join(f"  {name:{width}}  {purpose}" for name, (_, purpose) in COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"puremux {__version__}")
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="see below; COMMAND --help tells more")
    return parser


if __name__ == "__main__":
    sys.exit(main())
