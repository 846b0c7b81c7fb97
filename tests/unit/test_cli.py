"""The command line, without running what it starts."""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import types

import pytest

import puremux
from puremux import cli
from puremux.errors import ConnectError
from tests.shared import programs


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """``puremux try``, whose ``run`` a test sets."""
    command = types.SimpleNamespace(
        add_options=lambda parser: parser.add_argument("--number", type=int, default=0),
        run=lambda options: options.number,
    )
    monkeypatch.setitem(cli.COMMANDS, "try", ("tests.the_command_try", "try something"))
    monkeypatch.setitem(sys.modules, "tests.the_command_try", command)  # type: ignore[arg-type]  # it has what is used
    return command


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    for name, (_, purpose) in cli.COMMANDS.items():
        assert f"  {name}" in out and purpose in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert (ended.value.code, capsys.readouterr().out) == (0, f"puremux {puremux.__version__}\n")


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_command_has_a_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([name, "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert shown.startswith(f"usage: puremux {name} ")
    assert cli.COMMANDS[name][1][1:] in " ".join(shown.split())  # but for its first letter, as in the list of commands


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        pytest.param([], "arguments are required: COMMAND", id="no command"),
        pytest.param(["fly"], "invalid choice: 'fly'", id="no such command"),
        pytest.param(["try", "--fast"], "puremux try: error: unrecognized arguments: --fast", id="no such option"),
        pytest.param(["try", "--number", "x"], "puremux try: error: argument --number: invalid int", id="a bad value"),
        pytest.param(["demo", "--duration", "0"], "takes seconds above zero, not 0", id="no time at all"),
        pytest.param(["demo", "--duration", "nan"], "takes seconds above zero, not nan", id="not a duration"),
    ],
)
def test_what_cannot_be_read_is_refused(
    arguments: list[str], sentence: str, command: types.SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == cli.CANNOT
    assert sentence in capsys.readouterr().err


def test_a_command_gets_its_options_and_gives_the_exit_code(command: types.SimpleNamespace) -> None:
    assert cli.main(["try", "--number", "3"]) == 3


@pytest.mark.parametrize(
    "error, code, printed",
    [
        pytest.param(
            ConnectError("127.0.0.1:1", "nothing accepts there"), 2, "puremux try: nothing accepts there\n", id="ours"
        ),
        pytest.param(OSError(98, "port in use"), 2, "puremux try: port in use\n", id="the system's"),
        pytest.param(OSError(13, "not allowed", "a/b"), 2, "puremux try: a/b: not allowed\n", id="about a file"),
        pytest.param(OSError("it is full"), 2, "puremux try: it is full\n", id="without a number"),
        pytest.param(
            ValueError("takes a number"), 2, "puremux try: takes a number\n", id="an option that does not fit"
        ),
        pytest.param(KeyboardInterrupt(), 130, "", id="Ctrl-C"),
    ],
)
def test_an_error_is_a_sentence(
    error: BaseException,
    code: int,
    printed: str,
    command: types.SimpleNamespace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(options: argparse.Namespace) -> int:
        raise error

    command.run = run
    assert cli.main(["try"]) == code
    assert capsys.readouterr().err == printed


def test_without_opencensus_the_demo_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "opencensus"] + ["opencensus"]:
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type]  # what import takes for "not there"
    monkeypatch.delitem(sys.modules, "puremux.demo.program", raising=False)
    assert cli.main(["demo", "--duration", "1"]) == cli.CANNOT
    err = capsys.readouterr().err
    assert "pip install --no-deps opencensus" in err


def test_a_command_that_is_not_chosen_is_not_imported() -> None:
    program = "import sys, puremux.cli as cli\ntry: cli.main(['--version'])\nfinally: print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=programs.ROOT, check=False
    )
    names = done.stdout.split()
    assert "puremux.cli" in names
    assert not [
        name for name in names if name.startswith(("google", "h2.connection", "opencensus", "rich", "puremux.exporter"))
    ]


def test_a_reader_who_has_seen_enough_is_no_error() -> None:
    program = (
        "import sys, types; from puremux import cli\n"
        "def run(options):\n"
        "    for number in range(100_000): print(number)\n"
        "    return 0\n"
        "cli.COMMANDS['try'] = ('the_try', 'try')\n"
        "sys.modules['the_try'] = types.SimpleNamespace(add_options=lambda parser: None, run=run)\n"
        "sys.exit(cli.main(['try']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=programs.ROOT
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "0\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    "encoding, written",
    [("utf-8", "client ─▶ é … \ud800"), ("ascii", "client -> ? ... ?"), ("latin-1", "client -> é ... ?")],
)
def test_a_terminal_without_our_signs_gets_others(
    encoding: str, written: str, command: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    monkeypatch.setattr(sys, "stdout", output)
    command.run = lambda options: 0 * sys.stdout.write("client ─▶ é … \ud800")
    assert cli.main(["try"]) == 0
    assert output.buffer.getvalue().decode(encoding) == written.replace("\ud800", "?")  # type: ignore[attr-defined]


@pytest.mark.skipif(os.name != "posix", reason="a shell closes descriptors")
@pytest.mark.parametrize(
    "closed, arguments, code, expected",
    [
        pytest.param(">&-", "probe 127.0.0.1:1", 2, "puremux probe: Bad file descriptor\n", id="probe"),
        pytest.param(">&-", "--version", 0, "", id="version"),
        pytest.param("2>&-", "probe", 2, "", id="errors"),
        pytest.param(">&- 2>&- <&-", "wire /dev/null", 0, "", id="everything"),
    ],
)
def test_a_closed_output_is_a_sentence(closed: str, arguments: str, code: int, expected: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'"$0" -m puremux.cli {arguments} {closed}', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=programs.ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, expected)


def test_ctrl_c_while_a_command_is_imported_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.importlib, "import_module", interrupt)
    assert cli.main(["demo"]) == cli.INTERRUPTED


def test_the_package_runs_as_the_command_does() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "puremux", "--version"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"puremux {puremux.__version__}\n", "")
