"""The driver's loop: timers, hand-over, waiting, its end.  Its only socket is its own."""

from __future__ import annotations

import errno
import gc
import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from puremux.transport.driver import Driver, _after_fork_in_parent, _before_fork, _held_for_fork
from puremux.transport.loop import Loop
from puremux.transport.wait import Step, Wait
from tests.shared.waiting import eventually

LIMIT = 10.0


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver("test")
    yield driver
    driver.close()


def done_by(driver: Driver) -> threading.Event:
    """Set when the driver has done what it was given so far."""
    done = threading.Event()
    driver.call_soon(done.set)
    return done


def test_a_driver_costs_nothing_until_it_is_needed() -> None:
    before = threading.active_count()
    driver = Driver()
    driver.close()
    assert threading.active_count() == before and driver._loop is None and not driver.is_running


def test_work_is_done_in_order_on_one_thread(driver: Driver) -> None:
    done: list[tuple[int, str]] = []
    for index in range(100):
        driver.call_soon(lambda index=index: done.append((index, threading.current_thread().name)))  # type: ignore[misc]
    assert done_by(driver).wait(LIMIT)
    assert done == [(index, "test") for index in range(100)]


def test_locked_work_holds_the_lock_and_unlocked_work_does_not(driver: Driver) -> None:
    could_take: list[bool] = []
    done = threading.Event()

    def take(timeout: float) -> None:
        could_take.append(driver.lock.acquire(timeout=timeout))
        if could_take[-1]:
            driver.lock.release()

    def another_takes(timeout: float) -> None:
        other = threading.Thread(target=take, args=(timeout,))
        other.start()
        other.join()

    driver.call_soon(lambda: another_takes(0.0))
    driver.call_soon(lambda: driver.call_unlocked(lambda: another_takes(LIMIT)))
    driver.call_soon(lambda: driver.call_unlocked(done.set))
    assert done.wait(LIMIT) and could_take == [False, True]


def test_timers_ring_in_the_order_of_their_times() -> None:
    now = [100.0]
    driver = Driver(clock=lambda: now[0])
    rung: list[str] = []
    for delay, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (9.0, "later")):
        driver.call_later(delay, lambda name=name: rung.append(name))  # type: ignore[misc]
    driver.call_later(1.5, lambda: rung.append("cancelled")).cancel()
    assert done_by(driver).wait(LIMIT) and rung == []
    now[0] = 103.0
    driver.wake()
    assert done_by(driver).wait(LIMIT) and rung == ["a", "b", "c"]
    driver.close()


def test_an_earlier_timer_shortens_the_wait_under_way(driver: Driver) -> None:
    rung = threading.Event()
    driver.call_later(50.0, lambda: None)
    assert done_by(driver).wait(LIMIT)
    driver.call_later(0.01, rung.set)
    assert rung.wait(LIMIT)


def test_an_error_in_one_callback_does_not_stop_the_others(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    driver.call_soon(lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    driver.call_later(0, lambda: 1 / 0)  # type: ignore[arg-type, return-value]
    driver.call_unlocked(lambda: 1 / 0)
    assert done_by(driver).wait(LIMIT) and done_by(driver).wait(LIMIT)
    eventually(lambda: caplog.text.count("ZeroDivisionError") == 3, LIMIT)


def test_waiting_ends_with_the_event_or_the_time(driver: Driver) -> None:
    condition = threading.Condition(driver.lock)
    found: list[int] = []

    def find() -> None:
        found.append(1)
        condition.notify_all()

    with driver.lock:
        began = time.monotonic()
        assert not driver.wait_for(condition, lambda: bool(found), 0.02)
        assert time.monotonic() - began >= 0.02
        driver.call_soon(find)
        assert driver.wait_for(condition, lambda: bool(found), LIMIT)


def test_waiting_on_the_drivers_own_thread_turns_the_loop(driver: Driver) -> None:
    found: list[int] = []
    result: list[bool] = []
    done = threading.Event()

    def wait() -> None:
        driver.call_soon(lambda: found.append(1))
        with driver.lock:
            result.append(driver.wait_for(threading.Condition(driver.lock), lambda: bool(found), LIMIT))
        done.set()

    driver.call_unlocked(wait)
    assert done.wait(LIMIT) and result == [True]


def test_whoever_waits_turns_the_loop_where_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    driver = Driver()
    found: list[int] = []
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        driver.call_later(0.01, lambda: found.append(1))
        with driver.lock:
            assert driver.wait_for(threading.Condition(driver.lock), lambda: bool(found), LIMIT)
    driver.close()


def test_a_step_is_resumed_by_the_time_and_told_its_end(driver: Driver) -> None:
    ends: list[Any] = []

    def step(error: bool) -> Step[str]:
        yield Wait(time.monotonic() + 0.01)
        if error:
            raise OSError("no")
        return "yes"

    driver.run(step(False), lambda result, error: ends.append((result, error)))
    driver.run(step(True), lambda result, error: ends.append((result, str(error))))
    until = time.monotonic() + LIMIT
    while len(ends) < 2 and time.monotonic() < until:
        assert done_by(driver).wait(LIMIT)
    assert sorted(ends, key=str) == [("yes", None), (None, "no")] or ends == [("yes", None), (None, "no")]


def test_a_step_whose_two_sockets_are_ready_goes_on_once(driver: Driver) -> None:
    pairs = [socket.socketpair(), socket.socketpair()]
    for _, theirs in pairs:
        theirs.send(b"x")
    resumed: list[bool] = []

    def wait_twice() -> Step[None]:
        yield Wait(time.monotonic() + LIMIT, reading=[ours for ours, _ in pairs])
        resumed.append(True)
        yield Wait(time.monotonic() + LIMIT)
        resumed.append(False)

    task = driver.run(wait_twice(), lambda result, error: None)
    eventually(lambda: resumed, LIMIT)
    assert done_by(driver).wait(LIMIT)
    task.cancel()
    assert done_by(driver).wait(LIMIT) and resumed == [True]
    for each in (sock for pair in pairs for sock in pair):
        each.close()


def test_a_cancelled_step_is_closed_and_its_end_not_told(driver: Driver) -> None:
    closed = threading.Event()
    ends: list[Any] = []

    def step() -> Step[None]:
        try:
            yield Wait(time.monotonic() + LIMIT)
        finally:
            closed.set()

    task = driver.run(step(), lambda *end: ends.append(end))
    assert done_by(driver).wait(LIMIT)
    task.cancel()
    assert closed.wait(LIMIT) and done_by(driver).wait(LIMIT) and ends == []


def test_a_step_that_is_cancelled_just_before_its_end_has_none(driver: Driver) -> None:
    ends: list[Any] = []

    def step() -> Step[str]:
        yield Wait(time.monotonic())
        return "a socket that nobody would close"

    with driver.lock:
        task = driver.run(step(), lambda *end: ends.append(end))
        task.cancel()
    assert done_by(driver).wait(LIMIT) and done_by(driver).wait(LIMIT) and ends == []


def test_timers_that_were_cancelled_do_not_pile_up(driver: Driver) -> None:
    kept = [driver.call_later(1000, lambda: None) for _ in range(50)]
    for _ in range(10_000):
        driver.call_later(1000, lambda: None).cancel()
    assert len(driver._timers) < 500
    assert all(each in [timer for _, _, timer in driver._timers] for each in kept)


def test_a_loop_whose_descriptors_were_closed_begins_anew(driver: Driver, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def select(self, timeout: float) -> Any:
            raise OSError(9, "Bad file descriptor")

        def close(self) -> None:
            pass

    assert done_by(driver).wait(LIMIT)
    loop = driver._loop
    assert loop is not None
    real, loop.selector = loop.selector, Broken()  # type: ignore[assignment]
    until = time.monotonic() + LIMIT
    while driver._loop is loop and time.monotonic() < until:
        assert done_by(driver).wait(LIMIT)
    assert driver._loop is not loop and done_by(driver).wait(LIMIT)
    assert "Bad file descriptor" in caplog.text
    real.close()


def test_closing_does_what_was_handed_over_and_ends_the_thread(driver: Driver) -> None:
    done: list[int] = []
    assert done_by(driver).wait(LIMIT)
    thread = driver._thread
    assert thread is not None
    with driver.lock:
        driver.call_soon(lambda: done.append(1))
        driver.call_soon(driver.close)
    thread.join(LIMIT)
    assert done == [1] and not thread.is_alive() and driver._loop is None
    driver.close()


def test_a_closed_driver_that_nobody_holds_is_gone() -> None:
    driver = Driver()
    assert done_by(driver).wait(LIMIT)
    thread = driver._thread
    driver.close()
    assert thread is not None
    thread.join(LIMIT)
    gone = weakref.ref(driver)
    del driver, thread
    gc.collect()
    assert gone() is None


def test_listeners_of_forks_are_held_weakly(driver: Driver) -> None:
    class Listener:
        def listen(self) -> None:
            raise AssertionError("not in the parent")

    for _ in range(10):
        driver.on_fork(Listener().listen)
        gc.collect()
    kept = Listener()
    driver.on_fork(kept.listen)
    assert len(driver._fork_listeners) <= 2


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12 warns where threads run
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
def test_a_forked_child_has_a_loop_of_its_own(driver: Driver) -> None:
    assert done_by(driver).wait(LIMIT)
    condition = threading.Condition(driver.lock)  # outlives the fork, as calls and exporters do
    pid = os.fork()
    if pid == 0:
        found: list[int] = []

        def find() -> None:
            found.append(1)
            condition.notify_all()

        with driver.lock:
            driver.call_soon(find)
            works = driver.wait_for(condition, lambda: bool(found), LIMIT)
        os._exit(0 if works and done_by(driver).wait(LIMIT) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert done_by(driver).wait(LIMIT), "the parent's goes on"


def test_a_callback_that_waits_for_the_one_behind_it_leaves_the_thread_alive(driver: Driver) -> None:
    changed = threading.Condition(driver.lock)
    threads: list[int] = []
    done = threading.Event()

    def wait_for_the_next() -> None:
        with driver.lock:
            driver.wait_for(changed, lambda: bool(threads), 5)

    with driver.lock:  # so that one turn finds all of them
        driver.call_unlocked(wait_for_the_next)
        driver.call_unlocked(lambda: threads.append(threading.get_ident()))
    eventually(lambda: threads, 5)
    driver.call_unlocked(lambda: threads.append(threading.get_ident()))
    driver.call_unlocked(done.set)
    assert done.wait(5)
    assert threads[0] == threads[1]


def test_no_descriptors_left_harms_nobody_who_hands_over(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*args: Any) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refuse)
        done = done_by(driver)
        driver.call_unlocked(lambda: None)
        with pytest.raises(OSError, match="Too many"), driver.lock:
            driver.wait_for(threading.Condition(driver.lock), done.is_set, LIMIT)
        assert not driver.is_running
    (record,) = caplog.records
    assert "Too many open files" in record.getMessage()
    driver.wake()
    assert done.wait(LIMIT), "the next who wakes it finds that there are some again"


def test_a_loop_that_ends_while_it_is_woken_harms_nobody() -> None:
    class Ending(Driver):
        """Its loop is gone from the second look on, as when its thread ends between the two."""

        looks = 0

        @property
        def _loop(self) -> Any:
            self.looks += 1
            return self._kept if self.looks == 1 else None

        @_loop.setter
        def _loop(self, loop: Any) -> None:
            self._kept = loop

    driver = Ending()
    loop = Loop()
    driver._thread, driver._loop, driver.looks = threading.current_thread(), loop, 0
    try:
        driver.wake()
    finally:
        loop.close()
    assert driver.looks == 1


def test_a_fork_while_another_thread_makes_a_driver_forgets_none(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Growing:
        looks = 0

        def __iter__(self) -> Iterator[Driver]:
            self.looks += 1
            if self.looks == 1:
                raise RuntimeError("Set changed size during iteration")
            return iter([driver])

    monkeypatch.setattr("puremux.transport.driver._DRIVERS", Growing())
    _before_fork()
    try:
        assert _held_for_fork == [(driver, True, True)]
    finally:
        _after_fork_in_parent()


def test_an_error_is_logged_without_the_lock(driver: Driver) -> None:
    """Whoever writes the line may wait for a thread that waits for the lock."""
    written: list[str] = []
    done = threading.Event()

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            other = threading.Thread(target=lambda: driver.lock.acquire(timeout=LIMIT) and driver.lock.release())
            other.start()
            other.join(LIMIT / 2)
            written.append(f"{record.getMessage()}: {'waited' if other.is_alive() else 'went on'}")
            done.set()

    handler = Waits()
    logging.getLogger("puremux").addHandler(handler)
    try:
        driver.call_soon(lambda: 1 // 0)  # type: ignore[arg-type, return-value]  # it never returns
        assert done.wait(LIMIT)
    finally:
        logging.getLogger("puremux").removeHandler(handler)
    assert "should not happen" in written[0] and written[0].endswith("went on")


def test_an_error_that_cannot_be_logged_ends_nothing(driver: Driver, refusing: None) -> None:
    driver.call_soon(lambda: 1 // 0)  # type: ignore[arg-type, return-value]  # it never returns
    assert done_by(driver).wait(LIMIT)
    thread = driver._thread
    driver.call_unlocked(lambda: 1 // 0)
    assert done_by(driver).wait(LIMIT) and driver._thread is thread


def test_to_be_without_descriptors_and_unable_to_say_so_raises_nowhere(
    driver: Driver, refusing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socketpair", refuse)
        driver.call_soon(lambda: None)
    assert done_by(driver).wait(LIMIT)


def test_ctrl_c_while_waiting_is_told_as_such_and_leaves_the_lock_as_it_was(driver: Driver) -> None:
    class Interrupted(threading.Condition):
        def wait(self, timeout: float | None = None) -> bool:
            driver.lock.release()  # the signal comes right behind this: Condition does not take the lock back then
            raise KeyboardInterrupt

    driver.call_soon(lambda: None)
    with pytest.raises(KeyboardInterrupt), driver.lock:
        driver.wait_for(Interrupted(driver.lock), lambda: False, LIMIT)
    assert done_by(driver).wait(LIMIT), "the lock is free"


def test_ctrl_c_as_a_waiting_thread_begins_to_turn_the_loop_leaves_the_lock_as_it_was(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting:
        """The driver's lock; the signal comes right behind the first release."""

        def __init__(self) -> None:
            self._lock, self.acquire = driver.lock, driver.lock.acquire
            self._interrupted = False

        def release(self) -> None:
            self._lock.release()
            if not self._interrupted:
                self._interrupted = True
                raise KeyboardInterrupt

        def __enter__(self) -> bool:
            return self.acquire()

        def __exit__(self, *error: object) -> None:
            self._lock.release()

    monkeypatch.setattr("puremux.transport.driver.start_thread", lambda *args: None)
    condition = threading.Condition(driver.lock)
    monkeypatch.setattr(driver, "lock", Interrupting())
    with pytest.raises(KeyboardInterrupt), driver.lock:
        driver.wait_for(condition, lambda: False, LIMIT)
