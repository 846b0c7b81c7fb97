"""HTTP/2 and gRPC without I/O: bytes in, events out; the client's role and the server's.

Floor 2, protocol: no socket, no thread, no clock, no logging.  Imports status, errors, h2 and hpack.
"""
