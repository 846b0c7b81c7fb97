"""The tests: unit (no socket), loopback (our own servers), interop (servers that others wrote), browser."""
