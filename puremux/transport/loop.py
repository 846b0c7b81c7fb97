"""What the operating system lends to a turning loop: a selector, and a socket pair that wakes it.

Floor 3, transport: imports the standard library only.
"""

from __future__ import annotations

import selectors
import socket

__all__ = ["Loop"]


class Loop:
    """A selector, and the pair of sockets by which any thread ends its wait.

    Raises:
        OSError: there are not enough file descriptors.
    """

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self.selector.register(self._wake_in, selectors.EVENT_READ, None)

    def wake(self) -> None:
        """End the selector's wait, from any thread."""
        try:
            self._wake_out.send(b"\0")
        except OSError:
            pass  # full: it is awake already; closed: the driver has stopped

    def drain_wakes(self) -> None:
        """Take the bytes that woke it."""
        try:
            while len(self._wake_in.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """Give everything back."""
        self.selector.close()
        self._wake_in.close()
        self._wake_out.close()
