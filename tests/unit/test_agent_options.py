"""The options of ``puremux agent``: what a file may say, what the command line says against it, and what is refused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from puremux.agent import AgentLimits
from puremux.agent.options import ConfigError, add_options, gather
from puremux.agent.sampling import trace_config


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return gather(parser.parse_args(words))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str) -> str:
        path = tmp_path / "agent.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


EVERYTHING = """
listen = "127.0.0.1:1"
zpages = "127.0.0.1:4"
prometheus = "127.0.0.1:2"
spans = "spans.jsonl"
forward = "next:3"
forward_insecure = true
forward_ca = "ca.pem"
tls_cert = "cert.pem"
tls_key = "key.pem"
tls_client_ca = "clients.pem"
config_push = "always"
grace = 2
live = true

[limits]
max_clients = 4
stale_after = 1.5
"""


def test_without_any_they_are_the_usual() -> None:
    options = parse()
    assert (options.listen, options.grace, options.live, options.prometheus) == ("localhost:55678", 5.0, False, None)
    assert options.limits == AgentLimits()


def test_every_option_can_stand_in_the_file(write: Any) -> None:
    options = vars(parse("--config", write(EVERYTHING)))
    known = set(vars(parse())) - {"config"}
    said = {line.split(" = ")[0] for line in EVERYTHING.splitlines() if " = " in line}
    assert known <= said | {"limits"}, "an option that this test's file leaves out"
    assert options["forward_insecure"] is options["live"] is True
    assert (options["listen"], options["tls_client_ca"], options["grace"]) == ("127.0.0.1:1", "clients.pem", 2)
    assert options["limits"] == AgentLimits(max_clients=4, stale_after=1.5)


def test_the_command_line_holds_against_the_file(write: Any) -> None:
    options = parse("--config", write(EVERYTHING), "--listen", "a:9", "--grace", "0", "--limit", "max_clients=5")
    assert (options.listen, options.grace) == ("a:9", 0.0)
    assert options.limits == AgentLimits(max_clients=5, stale_after=1.5)


@pytest.mark.parametrize(
    "text, words",
    [
        pytest.param('listn = "a:1"', ["no option 'listn'", "listen"], id="a key that is none"),
        pytest.param('config = "b.toml"', ["no option 'config'"], id="a file in the file"),
        pytest.param("listen = 1", ["listen takes a text, not 1"], id="a number for a text"),
        pytest.param("live = 1", ["live takes true or false, not 1"], id="a number for a truth"),
        pytest.param("grace = true", ["grace takes a number of seconds, not True"], id="a truth for a number"),
        pytest.param("limits = 3", ["limits is a table, not 3"], id="no table"),
        pytest.param("[limits]\nmax_things = 1", ["no limit 'max_things'", "max_clients"], id="a limit that is none"),
        pytest.param(
            "[limits]\nmax_clients = -1", ["limits.max_clients takes a whole number"], id="a limit below zero"
        ),
        pytest.param(
            '[limits]\nmax_clients = "1"', ["limits.max_clients takes a whole number"], id="a limit in quotes"
        ),
        pytest.param("[limits]\nmax_streams = 1.5", ["limits.max_streams takes a whole number"], id="half a stream"),
        pytest.param('spans = "a\\u0000b"', ["spans takes a text, not"], id="a text that no system call takes"),
        pytest.param("listen = ", ["cannot be read: "], id="no TOML"),
        pytest.param("limits = " + "{a=" * 5_000, ["cannot be read: it is nested too deeply"], id="very deep"),
        pytest.param("#" * 2_000_000, ["cannot be read: it has more than 1048576 bytes"], id="very long"),
    ],
)
def test_what_is_wrong_in_a_file_is_one_sentence(write: Any, text: str, words: list[str]) -> None:
    path = write(text)
    with pytest.raises(ConfigError) as caught:
        parse("--config", path)
    sentence = str(caught.value)
    assert sentence.startswith(path) and "\n" not in sentence
    assert [word for word in words if word not in sentence] == []


def test_a_file_without_an_end_is_not_read_to_it() -> None:
    with pytest.raises(ConfigError, match=r"^/dev/zero cannot be read: it has more than 1048576 bytes$"):
        parse("--config", "/dev/zero")


def test_a_file_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "agent.toml"
    path.write_bytes('spans = "/var/log/café"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"agent\.toml cannot be read: 'utf-8' codec can't decode byte 0xe9"):
        parse("--config", str(path))


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^/no/such/file cannot be read: No such file or directory$"):
        parse("--config", "/no/such/file")


@pytest.mark.parametrize(
    "limits",
    [
        {"max_streams": 2.5},
        {"max_streams": 2**31},
        {"max_streams": True},
        {"max_bytes_held": 2**63},
        {"max_clients": "7"},
        {"max_clients": -1},
        {"stale_after": float("nan")},
        {"stale_after": -1.0},
    ],
)
def test_limits_that_cannot_be(limits: dict[str, Any]) -> None:
    (name,) = limits
    with pytest.raises(ValueError, match=f"^AgentLimits: {name} takes a (whole )?number from 0 "):
        AgentLimits(**limits)


def test_limits_that_can_be() -> None:
    AgentLimits(max_streams=2**31 - 1, max_bytes_held=2**40, stale_after=float("inf"), max_clients=0)


def test_a_grace_below_zero_is_refused(write: Any) -> None:
    with pytest.raises(ValueError, match="--grace takes seconds from 0 up, not -1"):
        parse("--grace=-1")


@pytest.mark.parametrize("word", ["max_things=1", "max_clients", "max_clients=many"])
def test_a_limit_that_cannot_be_is_refused(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--limit", word)
    assert word.partition("=")[0] in capsys.readouterr().err


# Samplers in words


@pytest.mark.parametrize(
    "words, field, value",
    [
        ("always", "constant_sampler.decision", 1),
        ("never", "constant_sampler.decision", 0),
        ("parent", "constant_sampler.decision", 2),
        ("probability=0.25", "probability_sampler.samplingProbability", 0.25),
        ("probability=0", "probability_sampler.samplingProbability", 0.0),
        ("rate=10", "rate_limiting_sampler.qps", 10),
    ],
)
def test_samplers_in_words(words: str, field: str, value: float) -> None:
    config = trace_config(words)
    sampler, _, attribute = field.partition(".")
    assert config.WhichOneof("sampler") == sampler
    assert getattr(getattr(config, sampler), attribute) == value


@pytest.mark.parametrize(
    "words", ["", "sometimes", "always=1", "probability", "probability=2", "probability=nan", "rate=0.5", "rate=-1"]
)
def test_words_that_are_no_sampler(words: str) -> None:
    with pytest.raises(ValueError, match=r"a sampler is always, never, parent, .* not "):
        trace_config(words)
