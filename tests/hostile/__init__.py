"""A hostile server: every way in which the other end of a gRPC connection can misbehave, as one table.

- ``wire``: bytes of HTTP/2 and gRPC, legal or not.
- ``peer``: the server's end of one connection, played by hand.
- ``table``: what a scenario is, and what the client has to make of it.
- ``scenarios``: the scenarios, a function each.
- ``server``: plays a scenario on its first connections, and is a good echo server after that.
- ``runner``: the client, in a process of its own, so that its time and memory can be measured.
- ``play``: brings the two together; ``python -m tests.hostile`` shows the table as it goes.

Nothing here imports puremux but the runner: what checks the protocol must not share its mistakes.
"""
