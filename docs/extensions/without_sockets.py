"""A call without a socket: what one end has to send is what the other receives."""

from __future__ import annotations

from puremux.protocol.connection import Connection
from puremux.protocol.events import MessageReceived, RequestReceived
from puremux.protocol.metadata import request_headers
from puremux.status import StatusCode

client, server = Connection(client_side=True), Connection(client_side=False)
client.initiate()
server.initiate()
client.receive_data(server.data_to_send(), now=0.0)  # the server's SETTINGS: the client is ready

stream_id = client.open(request_headers("/shop.Till/Ring", authority="shop.example", scheme="http"))
client.send_message(stream_id, b"one coffee", end=True)

for event in server.receive_data(client.data_to_send(), now=0.0):
    print("server:", event)
    if isinstance(event, RequestReceived):
        server.send_headers(event.stream_id)
    elif isinstance(event, MessageReceived):
        server.send_message(event.stream_id, b"3 francs")
        server.send_trailers(event.stream_id, StatusCode.OK)

for event in client.receive_data(server.data_to_send(), now=0.0):
    print("client:", event)
