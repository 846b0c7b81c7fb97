"""Bytes: an address becomes a connected, non-blocking stream, and one thread moves what it carries.

Floor 3, I/O: imports protocol, errors and the standard library.
"""
