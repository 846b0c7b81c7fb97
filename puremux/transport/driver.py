"""One thread that waits for everybody: sockets, timers, dials, and work handed over by other threads.

Floor 3, transport: imports the standard library, logs, ``loop``, ``task``, ``threads`` and ``wait``.

The rules that keep it simple:

- One lock guards everything that the driver drives: connections, calls, channels.  The driver holds it while it
  handles what happened, and lets go of it while it waits and while it runs the application's callbacks.
- Sockets never block.  The only blocking call is the selector's, and it is bounded by the next timer.
- The thread starts at the first need, is a daemon where the interpreter allows it, and is gone in a forked child, where
  the next need starts another one.
- Where no thread can be started (an interpreter that shuts down), whoever waits turns the loop himself.
"""

from __future__ import annotations

import functools
import heapq
import itertools
import os
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable, Protocol, TypeVar

from ..logs import CarefulLogger
from .loop import Loop
from .task import Task
from .threads import start_thread
from .wait import Clock, Step

__all__ = ["Driver", "Timer", "Watched"]

logger = CarefulLogger("puremux")

IDLE_WAIT = 60.0  # seconds; the longest a turn waits, so that a lost wake-up is a delay and not a hang
LONG_TURN = 0.1  # seconds of sockets, after which timers and what was handed over have their turn
FORK_WAIT = 5.0  # seconds that a fork waits for each lock; a slow machine may import for as long under one
ORPHAN_WAIT = 0.2  # seconds; where the thread is no daemon, how often it looks whether the program has ended

T = TypeVar("T")


class Watched(Protocol):
    """Something with a file descriptor that the driver watches."""

    def fileno(self) -> int:
        """The descriptor; -1 once closed."""

    def events(self) -> int:
        """What to watch for now: ``selectors.EVENT_READ | selectors.EVENT_WRITE``, or 0."""

    def ready(self) -> None:
        """Something that was watched for may be possible now.  Runs on the driver, under its lock."""


class Timer:
    """A callback that is due at a time; ``cancel`` takes it back."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Never run the callback, if it has not run yet."""
        self.callback = None


class Driver:
    """A selector loop on a thread of its own.

    Args:
        name: the thread's name.
        clock: seconds, as ``time.monotonic``.
    """

    def __init__(self, name: str = "puremux", clock: Clock = time.monotonic) -> None:
        self.name = name
        self.clock = clock
        self.lock = threading.RLock()
        """Guards whatever is driven; hold it to touch a connection, a call or a channel."""
        self.loading = threading.RLock()
        """Held by who imports something on the driver's thread, since a fork waits for it.  Not the other, for which
        a signal's handler may wait in the middle of importing the same."""
        self._fork_listeners: list[weakref.WeakMethod[Callable[[], None]]] = []
        self._sequence = itertools.count()
        self._closed = False
        self._forget_everything()
        _DRIVERS.add(self)

    def _forget_everything(self) -> None:
        self._loop: Loop | None = None  # opened with the thread: until then a driver costs no descriptor
        self._timers: list[tuple[float, int, Timer]] = []
        self._sweep_at = 100
        self._soon: deque[Callable[[], None]] = deque()
        self._unlocked: deque[Callable[[], object]] = deque()
        self._watched: dict[Watched, tuple[int, int]] = {}  # what the selector knows: descriptor and events
        self._changed: set[Watched] = set()
        self._thread: threading.Thread | None = None
        self._turning: int | None = None  # the thread that turns the loop
        self._timeout: float | None = None  # how long the next turn may wait, if that is known already
        self._awake = False
        self._is_starved = False  # the operating system lends no descriptors to a loop, and the log has said so

    @property
    def is_running(self) -> bool:
        """True while the driver has a thread."""
        return self._thread is not None and not self._closed

    # Handing work over, from any thread

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run ``callback`` on the driver, under the lock, as soon as possible."""
        self._soon.append(callback)
        self.wake()

    def call_unlocked(self, callback: Callable[[], object]) -> None:
        """Run the application's ``callback`` on the driver, without the lock: it may do as it likes."""
        self._unlocked.append(callback)
        self.wake()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` on the driver, under the lock, when the clock shows ``when`` seconds."""
        timer = Timer(callback)
        with self.lock:
            if len(self._timers) >= self._sweep_at:
                self._sweep_timers()
            is_next = not self._timers or when < self._timers[0][0]
            heapq.heappush(self._timers, (when, next(self._sequence), timer))
        if is_next:
            self.wake()
        return timer

    def call_later(self, delay: float, callback: Callable[[], None]) -> Timer:
        """Run ``callback`` on the driver, under the lock, in ``delay`` seconds."""
        return self.call_at(self.clock() + delay, callback)

    def watch(self, watched: Watched) -> None:
        """Watch, or look again at what ``watched.events()`` says."""
        with self.lock:
            self._changed.add(watched)
        self.wake()

    def forget(self, watched: Watched) -> None:
        """Stop watching, before the descriptor is closed.  On the driver only."""
        self._changed.discard(watched)
        known = self._watched.pop(watched, None)
        if known is not None and self._loop is not None:
            try:
                self._loop.selector.unregister(known[0])
            except (KeyError, ValueError, OSError):
                pass  # it was closed first, and the selector has noticed

    def run(self, step: Step[T], done: Callable[[T | None, BaseException | None], None]) -> Task:
        """Run a step of dialling; ``done(result, error)`` is called on the driver, under the lock, at its end."""
        task = Task(self, step, done)
        self.call_soon(task.resume)
        return task

    def on_fork(self, listener: Callable[[], None]) -> None:
        """Call a bound method in a forked child, after the driver has begun anew; it is held weakly."""
        self._fork_listeners = [each for each in self._fork_listeners if each() is not None]
        self._fork_listeners.append(weakref.WeakMethod(listener))

    def wake(self) -> None:
        """Make the driver look at what is new.  Starts its thread if there is none."""
        if self._turning == threading.get_ident() or self._closed:
            return
        if self._thread is None and not self._start():
            return
        loop = self._loop  # once: the driver's thread may end meanwhile
        if not self._awake and loop is not None:
            self._awake = True
            try:
                loop.wake()
            except BaseException:  # Ctrl-C: a wake-up that is lost is a delay
                self._awake = False
                raise

    def wait_for(self, condition: threading.Condition, predicate: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``predicate()`` holds; ``condition`` is on the driver's lock, which the caller holds.

        On the driver's own thread, and where no thread can be started, this turns the loop instead.

        Args:
            timeout: seconds, or None to wait as long as it takes (a call without deadline).
        Raises:
            OSError: there are no file descriptors left for a loop, so that nothing would ever happen.
        """
        until = None if timeout is None else self.clock() + timeout
        while not predicate():
            left = IDLE_WAIT if until is None else until - self.clock()
            if left <= 0:
                return False
            if self._turning == threading.get_ident() or (self._thread is None and not self._start()):
                self._turn_unlocked(left)
            else:
                self._wait_on(condition, min(left, IDLE_WAIT))
        return True

    def _wait_on(self, condition: threading.Condition, timeout: float) -> None:
        try:
            condition.wait(timeout)
        except BaseException:  # Ctrl-C just after it let go of the lock, which it does not take back then
            if not getattr(self.lock, "_is_owned", lambda: True)():  # private, but in every RLock
                self.lock.acquire()
            raise

    def close(self, timeout: float = 1.0) -> None:
        """Stop the thread and close what the driver itself has opened; what it watched is its owners' to close."""
        with self.lock:
            if self._closed:
                return
            thread = self._thread
            if thread is not None:
                self.wake()
            self._closed = True
        if thread is None:
            self._finish()
        elif thread is not threading.current_thread():
            thread.join(timeout)

    # The loop

    def _start(self) -> bool:
        with self.lock:
            if self._thread is not None:
                return True
            try:
                loop = self._opened()
            except OSError as error:  # whoever hands something over must not suffer for it; the next one tries again
                if not self._is_starved:
                    logger.warning("puremux: nothing can be sent before there are file descriptors again: %s", error)
                self._is_starved = True
                return False
            self._is_starved = False
            self._thread = start_thread(self._run, self.name, loop)
            return self._thread is not None

    def _opened(self) -> Loop:
        if self._loop is None:
            self._loop = Loop()
        return self._loop

    def _run(self, loop: Loop) -> None:
        longest = IDLE_WAIT if threading.current_thread().daemon else ORPHAN_WAIT
        try:
            while self._loop is loop and not self._closed and self._program_runs():
                self._turn(longest)
        except OSError as error:
            logger.error("puremux: the driver's own descriptors were closed; it opens new ones", error=error)
        finally:
            if self._loop is loop:
                self._finish()

    def _program_runs(self) -> bool:
        return threading.current_thread().daemon or threading.main_thread().is_alive()

    def _turn(self, longest: float) -> None:
        """Wait for the next thing to do, and do it."""
        timeout, self._timeout = self._timeout, None
        if timeout is None:
            with self.lock:
                timeout = self._prepare(longest)
        loop = self._opened()
        ready = loop.selector.select(timeout)
        with self.lock:
            self._awake = True
            until = self.clock() + LONG_TURN
            for key, _ in ready:
                self._guarded(loop.drain_wakes if key.data is None else key.data.ready)
                if self.clock() >= until:  # a thousand sockets may be ready, and somebody wants to end the program
                    self._run_due()
                    until = self.clock() + LONG_TURN
            self._run_due()
            if not self._unlocked:
                # At once, since taking the lock again would have us wait for whoever we have just woken.
                self._timeout = self._prepare(longest)
        if self._unlocked:
            self._run_each(self._unlocked)
            self._timeout = None  # what the application did may have brought something up

    def _run_due(self) -> None:
        self._run_timers()
        self._run_each(self._soon)

    def _run_each(self, handed_over: deque[Callable[[], Any]]) -> None:
        """Run what is there now; a callback that waits turns the loop itself, and takes what is behind it."""
        for _ in range(len(handed_over)):
            if handed_over:
                self._guarded(handed_over.popleft(), handed_over is not self._unlocked)

    def _prepare(self, longest: float) -> float:
        """Get ready to wait; return for how long."""
        self._turning = threading.get_ident()
        self._awake = False  # before looking for work: what comes after the look sends a byte
        self._update_selector(self._opened())
        return self._time_to_wait(longest)

    def _turn_unlocked(self, longest: float) -> None:
        """A turn on a thread that holds the lock once."""
        before, self._timeout = self._turning, None
        try:
            self.lock.release()  # in here, since Ctrl-C may come as soon as it is done
            self._turn(longest)
        finally:
            self.lock.acquire()
            self._turning, self._timeout = before, None

    def _time_to_wait(self, longest: float) -> float:
        if self._soon or self._unlocked or self._closed:
            return 0.0
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return longest
        return max(0.0, min(longest, self._timers[0][0] - self.clock()))

    def _sweep_timers(self) -> None:
        """Most timers are cancelled, being deadlines of calls that were answered; they must not pile up."""
        self._timers = [each for each in self._timers if each[2].callback is not None]
        heapq.heapify(self._timers)
        self._sweep_at = 2 * len(self._timers) + 100

    def _run_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                self._guarded(callback)

    def _update_selector(self, loop: Loop) -> None:
        changed, self._changed = self._changed, set()
        for watched in changed:
            wanted = (watched.fileno(), watched.events())
            if self._watched.get(watched) == wanted:
                continue
            self.forget(watched)
            if wanted[0] >= 0 and wanted[1]:
                try:
                    loop.selector.register(*wanted, watched)
                except (OSError, ValueError, KeyError):  # somebody closed it behind our back; its owner will find out
                    self._soon.append(watched.ready)
                else:
                    self._watched[watched] = wanted

    def _guarded(self, callback: Callable[[], Any], has_lock: bool = True) -> None:
        """An error in one callback must not stop what the others need."""
        try:
            callback()
        except Exception as error:  # noqa: BLE001  whatever it is, the log is told
            line = "puremux: an error that should not happen, in %r"
            # Without the lock, since whoever writes the line may wait for somebody who waits for the lock.
            log = functools.partial(logger.error, line, callback, error=error)
            self._unlocked.append(log) if has_lock else log()

    def _finish(self) -> None:
        """A thread ends: if the driver is closed, what was handed over is done first, mostly the closing of sockets."""
        if not self._closed and self._program_runs():
            self._begin_anew()
            return
        with self.lock:
            self._turning = threading.get_ident()
            while self._soon:
                self._guarded(self._soon.popleft())
        while self._unlocked:
            self._guarded(self._unlocked.popleft(), has_lock=False)
        self._release()

    def _begin_anew(self) -> None:
        with self.lock:
            self._release()
            self._thread = self._turning = self._timeout = None
            self._changed.update(self._watched)
            self._watched = {}
        self.wake()

    def _release(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    # Fork

    def _after_fork_in_child(self) -> None:
        self._release()  # closes our descriptors only; the parent's selector and sockets stay as they are
        self._forget_everything()
        for reference in reversed(self._fork_listeners):  # what stands on top lets go first
            listener = reference()
            if listener is not None:
                self._guarded(listener)


_DRIVERS: weakref.WeakSet[Driver] = weakref.WeakSet()
_held_for_fork: list[tuple[Driver, bool, bool]] = []


def _before_fork() -> None:
    """Hold the locks, so that the child does not inherit half a change; bounded all the same."""
    _held_for_fork[:] = [
        (driver, driver.loading.acquire(timeout=FORK_WAIT), driver.lock.acquire(timeout=FORK_WAIT))
        for driver in _drivers()
    ]


def _drivers() -> list[Driver]:
    while True:
        try:
            return list(_DRIVERS)
        except RuntimeError:  # another thread has made a driver meanwhile
            continue


def _after_fork_in_parent() -> None:
    for driver, is_loading_held, is_held in _held_for_fork:
        if is_loading_held:
            driver.loading.release()
        if is_held:
            driver.lock.release()
    _held_for_fork.clear()


def _after_fork_in_child() -> None:
    # A lock that was not to be had is held by a thread of the parent's, which the child does not have.
    for driver, is_loading_held, is_held in _held_for_fork:
        if not is_loading_held:
            driver.loading = threading.RLock()
        if not is_held:
            driver.lock = threading.RLock()
        driver._after_fork_in_child()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
