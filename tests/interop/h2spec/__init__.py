"""h2spec's tests of an HTTP/2 server, run against the protocol core in the server's role."""
