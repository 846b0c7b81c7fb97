"""Any bytes as a header block: our end lives or ends the connection in order, and keeps little.

The first byte says where the block is cut into CONTINUATION frames.
"""

from __future__ import annotations

from fuzz.common import CONTINUATION, HEADERS, SETTINGS, Ledger, raw
from puremux.protocol.connection import Connection
from puremux.protocol.metadata import request_headers

REQUEST = request_headers("/p.S/M", authority="h", scheme="http")


def check(data: bytes) -> None:
    connection = Connection(client_side=True)
    ledger = Ledger(connection, 0)
    connection.initiate()
    ledger.take(connection.receive_data(raw(SETTINGS, 0, b""), 0.0))
    for _ in range(2):  # the second block meets what the first one has left in the header table
        if not connection.can_open:
            break
        stream_id = connection.open(REQUEST)
        ledger.running[stream_id] = []
        cut = 1 + (data[0] if data else 0) % 40
        block = data[1:]
        pieces = [block[at : at + cut * 64] for at in range(0, len(block), cut * 64)] or [b""]
        wire = raw(HEADERS, stream_id, pieces[0])
        wire += b"".join(raw(CONTINUATION, stream_id, piece) for piece in pieces[1:])
        ledger.take(connection.receive_data(wire + raw(CONTINUATION, stream_id, b"", 4), 0.0))
    table = connection._h2.decoder.header_table
    assert sum(len(name) + len(value) + 32 for name, value in table.dynamic_entries) <= 4_096
    assert len(connection.data_to_send()) < 1_000
