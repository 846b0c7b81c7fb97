"""What happens around a channel: threads in numbers, servers that restart, fork, signals, gevent, exit, garbage.

Where the whole process matters, the case is a program of its own, which must end by itself, with nothing printed but
what it says.
"""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from puremux.channel import Channel
from puremux.errors import RpcError
from puremux.subchannel import Backoff

from .channels import LIMIT, within
from .grpc_server import GrpcServer

ROOT = Path(__file__).resolve().parents[2]


def run(program: str, *, modules: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own; ``SERVER`` and ``Channel`` are there already."""
    preamble = f"{modules}\nimport sys, threading, os, signal, time\n{PREAMBLE}"
    return subprocess.run(
        [sys.executable, "-X", "dev", "-c", preamble + program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


PREAMBLE = """
from puremux.channel import Channel
from puremux.errors import RpcError
from puremux.status import StatusCode
from tests.loopback.grpc_server import GrpcServer
SERVER = GrpcServer()
"""


def assert_quiet(done: subprocess.CompletedProcess[str], said: str) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, said, ""), done.stdout + done.stderr


# The interpreter's end


@pytest.mark.parametrize(
    "program",
    [
        pytest.param("channel.unary_unary('/t/Echo')(b'')", id="idle connection"),
        pytest.param("kept = channel.unary_stream('/t/Hold')(b''); SERVER.wait_for_call()", id="running call"),
        pytest.param("future = channel.unary_unary('/t/Hold').future(b'')", id="call that has just begun"),
        pytest.param("Channel('192.0.2.1:1', insecure=True).open('/t/Echo')", id="connecting"),
        pytest.param("channel.stream_stream('/t/Echo')(iter(lambda: time.sleep(9), 1))", id="waiting for requests"),
        pytest.param("channel.subscribe(print)", id="subscriber"),
        pytest.param("sys.modules['kept'] = channel; channel.unary_unary('/t/Echo')(b'')", id="held to the last"),
        pytest.param("channel.unary_unary('/t/Echo')(b''); sys.exit(0)", id="sys.exit"),
        pytest.param(
            "threading.Thread(target=channel.unary_unary('/t/Hold'), args=(b'',), daemon=True).start();"
            "SERVER.wait_for_call()",
            id="waiting daemon thread",
        ),
    ],
)
def test_a_program_ends_with_live_channels(program: str) -> None:
    began = time.monotonic()
    done = run(f"channel = Channel(SERVER.target)\n{program}\n")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert time.monotonic() - began < 15


# Garbage


def collected(condition: Callable[[], bool]) -> bool:
    """Whether something comes true once garbage is collected; interpreters take their time over that."""

    def look() -> bool:
        gc.collect()
        return condition()

    return within(look)


def test_a_dropped_channel_takes_its_thread_and_its_connection_along(server: GrpcServer) -> None:
    channel = Channel(server.target)
    channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)
    thread = channel.driver._thread
    gone = weakref.ref(channel)
    assert thread is not None
    del channel
    assert collected(lambda: gone() is None and not thread.is_alive())
    assert server.connections[0].closed.wait(LIMIT)


def test_a_dropped_channel_that_was_connecting_is_gone_too(black_hole: tuple[str, int]) -> None:
    channel = Channel("{}:{}".format(*black_hole))
    with pytest.raises(RpcError):
        channel.unary_unary("/t/Echo")(b"", timeout=0.02)
    thread = channel.driver._thread
    assert thread is not None
    del channel
    assert collected(lambda: not thread.is_alive())


def test_a_call_keeps_its_channel(server: GrpcServer) -> None:
    answers = Channel(server.target).stream_stream("/t/Echo")(iter([b"a", b"b"]), timeout=LIMIT)
    gc.collect()
    assert list(answers) == [b"a", b"b"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors as Linux shows them")
def test_channels_by_the_hundred_leave_nothing_behind(server: GrpcServer) -> None:
    def use() -> None:
        channel = Channel(server.target)
        channel.unary_unary("/t/Echo")(b"", timeout=LIMIT)

    use()
    assert collected(server.connections[0].closed.is_set)
    before = (threading.active_count(), len(list(Path("/proc/self/fd").iterdir())))
    for _ in range(100):
        use()
    assert collected(lambda: all(each.closed.is_set() for each in server.connections))
    assert within(lambda: threading.active_count() <= before[0] + 2)
    assert within(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before[1] + 2)


# Signals


def test_a_signal_handler_does_not_end_a_waiting_call() -> None:
    done = run("""
rung = []
signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.02)
threading.Timer(0.5, SERVER.release.set).start()
channel = Channel(SERVER.target)
assert channel.unary_unary('/t/Hold')(b'', timeout=20) == b'held'
assert sum(map(len, channel.stream_stream('/t/Echo')(iter([bytes(100_000)] * 100), timeout=20))) == 10_000_000
signal.setitimer(signal.ITIMER_REAL, 0)
print(len(rung) > 3)
""")
    assert_quiet(done, "True\n")


def test_ctrl_c_while_waiting_leaves_the_channel_usable() -> None:
    done = run("""
channel = Channel(SERVER.target)
def interrupt():
    SERVER.wait_for_call()
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != 'wait':
        pass
    os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt).start()
try:
    channel.unary_unary('/t/Hold')(b'', timeout=20)
except KeyboardInterrupt:
    print('interrupted')
print(channel.unary_unary('/t/Echo')(b'still here', timeout=20), channel.connections)
assert SERVER.connections[0].calls[1].cancelled.wait(20)
""")
    assert_quiet(done, "interrupted\nb'still here' 1\n")


def test_ctrl_c_at_any_moment_leaves_the_channel_usable() -> None:
    done = run(
        """
import random
signal.signal(signal.SIGALRM, signal.default_int_handler)
channel = Channel(SERVER.target)
echo = channel.unary_unary('/t/Echo')
echo(b'', timeout=20)
interrupted = 0
for index in range(200):
    until = time.monotonic() + 0.5  # in a __del__, Python swallows what is raised
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0001, 0.003))
    try:
        while time.monotonic() < until:
            echo(b'again', timeout=20)
        signal.setitimer(signal.ITIMER_REAL, 0)  # it may still be due, where the machine had no time for us
        time.monotonic()  # a signal that came just now is told here at the latest
    except (KeyboardInterrupt, RuntimeError):  # the latter where threading.Condition itself is caught out
        interrupted += 1
    assert echo(b'still here', timeout=20, wait_for_ready=True) == b'still here'
print(interrupted > 100)
"""
    )
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stdout + done.stderr


# Fork


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.parametrize("way", ["plaintext", "TLS", "in turn"])
def test_a_forked_child_uses_connections_of_its_own(way: str) -> None:
    make = {
        "plaintext": "channel = Channel(SERVER.target)",
        "in turn": "channel = Channel([SERVER.target], policy='round_robin')",
        "TLS": """
import ssl, trustme
authority = trustme.CA()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert('localhost').configure_cert(context)
context.set_alpn_protocols(['h2'])
trusting = ssl.create_default_context()
authority.configure_trust(trusting)
SERVER.close()
SERVER = GrpcServer(tls=context)
channel = Channel(f'localhost:{SERVER.port}', tls=trusting)
""",
    }[way]
    done = run(f"""
import warnings
warnings.simplefilter('ignore', DeprecationWarning)
{make}
echo = channel.unary_unary('/t/Echo')
assert echo(b'before', timeout=20) == b'before'
held = channel.unary_unary('/t/Hold').future(b'', timeout=30)
waiting = channel.open('/t/Echo')
SERVER.wait_for_call(3)
children = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        ended = held.code(), waiting.code()
        answer = echo(b'child', timeout=20)
        good = ended == (StatusCode.UNAVAILABLE,) * 2 and answer == b'child'
        try:
            held.result()
        except RpcError as error:
            good = good and 'fork' in error.details()
        channel.close()
        os._exit(0 if good else 1)
    children.append(pid)
assert echo(b'parent', timeout=20) == b'parent'
statuses = [os.waitstatus_to_exitcode(os.waitpid(each, 0)[1]) for each in children]
assert echo(b'parent', timeout=20) == b'parent'
SERVER.release.set()
assert held.result() == b'held'
waiting.send(b'whole', end=True)
assert list(waiting) == [b'whole']
print(statuses, channel.connections, len(SERVER.connections))
""")
    assert_quiet(done, "[0, 0, 0] 1 4\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_threads_that_call_while_others_fork() -> None:
    done = run("""
import warnings
warnings.simplefilter('ignore', DeprecationWarning)
channel = Channel(SERVER.target)
echo = channel.unary_unary('/t/Echo')
stop = threading.Event()
faults = []
def work():
    while not stop.is_set():
        try:
            echo(b'x', timeout=20)
        except Exception as error:
            faults.append(error)
threads = [threading.Thread(target=work) for _ in range(4)]
for each in threads: each.start()
statuses = set()
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(0 if echo(b'child', timeout=20) == b'child' else 1)
    statuses.add(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
stop.set()
for each in threads: each.join()
print(statuses, faults)
""")
    assert_quiet(done, "{0} []\n")


# gevent


def test_everything_works_on_patched_sockets_and_threads() -> None:
    pytest.importorskip("gevent")
    done = run(
        """
import gevent
channel = Channel(SERVER.target)
echo = channel.unary_unary('/t/Echo')
jobs = [gevent.spawn(echo, b'%d' % index, timeout=20) for index in range(100)]
gevent.joinall(jobs, timeout=20)
assert [each.value for each in jobs] == [b'%d' % index for index in range(100)]
assert list(channel.unary_stream('/t/Count')(b'3', timeout=20)) == [b'0', b'1', b'2']
assert channel.stream_unary('/t/Sum')(iter([bytes(100_000)] * 30), timeout=20) == b'3000000'
assert list(channel.stream_stream('/t/Echo')(iter([b'a', b'b']), timeout=20)) == [b'a', b'b']
try:
    channel.unary_unary('/t/Hold')(b'', timeout=0.05)
except RpcError as error:
    print(error.code().name)
with gevent.Timeout(0.05, False):
    channel.unary_unary('/t/Hold')(b'')
print(echo(b'still here', timeout=20), channel.connections)
channel.close()
SERVER.close()
""",
        modules="import gevent.monkey; gevent.monkey.patch_all()",
    )
    assert_quiet(done, "DEADLINE_EXCEEDED\nb'still here' 1\n")


# Threads in numbers

THREADS = 64
CALLS = 100  # that end well between two restarts of the server


class Stress:
    """Makes calls of every shape from many threads, while the server comes and goes."""

    def __init__(self, channel: Channel) -> None:
        self.ends: Counter[str] = Counter()
        self.faults: list[BaseException] = []
        self._channel = channel
        self._is_over = False
        self._threads = [threading.Thread(target=self._work, args=(index,)) for index in range(THREADS)]

    def run(self) -> None:
        for each in self._threads:
            each.start()

    def go_on(self) -> None:
        """Wait for calls that end well."""
        enough = self.ends["OK"] + CALLS
        assert within(lambda: self.ends["OK"] >= enough or self.faults), self.ends

    def join(self) -> None:
        self._is_over = True
        for each in self._threads:
            each.join(2 * LIMIT)
            assert not each.is_alive(), "a call hangs"

    def _work(self, seed: int) -> None:
        rng = random.Random(seed)
        shapes = [self._unary, self._future, self._count, self._sum, self._chat, self._cancel, self._late, self._drop]
        while not (self._is_over or self.faults):
            shape = rng.choice(shapes)
            try:
                shape(rng)
                self.ends["OK"] += 1
            except RpcError as error:
                self.ends[error.code().name] += 1
            except BaseException as error:
                self.faults.append(error)

    def _unary(self, rng: random.Random) -> None:
        payload = rng.randbytes(rng.choice([0, 10, 50_000]))
        assert self._channel.unary_unary("/t/Echo")(payload, timeout=5, wait_for_ready=rng.random() < 0.5) == payload

    def _future(self, rng: random.Random) -> None:
        futures = [self._channel.unary_unary("/t/Echo").future(b"%d" % index, timeout=5) for index in range(5)]
        assert [each.result(10) for each in futures] == [b"%d" % index for index in range(5)]

    def _count(self, rng: random.Random) -> None:
        assert len(list(self._channel.unary_stream("/t/Count")(b"20", timeout=5))) == 20

    def _sum(self, rng: random.Random) -> None:
        chunks = [bytes(rng.randrange(20_000)) for _ in range(20)]
        assert self._channel.stream_unary("/t/Sum")(iter(chunks), timeout=5) == b"%d" % sum(map(len, chunks))

    def _chat(self, rng: random.Random) -> None:
        messages = [rng.randbytes(rng.randrange(5_000)) for _ in range(10)]
        assert list(self._channel.stream_stream("/t/Echo")(iter(messages), timeout=5)) == messages

    def _cancel(self, rng: random.Random) -> None:
        answers = self._channel.unary_stream("/t/Count")(b"100", timeout=5)
        next(answers)
        answers.cancel()

    def _late(self, rng: random.Random) -> None:
        self._channel.unary_unary("/t/Hold")(b"", timeout=rng.random() / 20)

    def _drop(self, rng: random.Random) -> None:
        self._channel.unary_stream("/t/Hold")(b"", timeout=5)


@pytest.mark.timeout(120)
def test_sixty_four_threads_and_a_server_that_restarts() -> None:
    server = GrpcServer(max_concurrent_streams=30)
    with Channel(server.target, backoff=Backoff(initial=0.01, maximum=0.1)) as channel:
        stress = Stress(channel)
        stress.run()
        for _ in range(6):
            stress.go_on()
            server.close(kill=True)
            server = GrpcServer(port=server.port, max_concurrent_streams=30)
        stress.go_on()
        stress.join()
        assert not stress.faults
        assert set(stress.ends) <= {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"}, stress.ends
        # A first call may still meet the connection that the last restart has cut.
        assert within(lambda: channel.open("/t/Echo", request=b"calm", wait_for_ready=True).code() == 0)
        assert within(lambda: not channel._balancer.running), "no call is left on a connection"
        assert not channel._waiting
    server.close()
