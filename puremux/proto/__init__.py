"""Message classes of OpenCensus, gRPC health checking and google.rpc.Status, in a descriptor pool of their own.

Floor 4, beside the exporter.  Import each module by its name; it imports what it needs, and this one imports nothing.
All but ``_pool`` is generated: edit the ``.proto`` files in ``proto_gen/`` and run ``make proto``.

The pool is private, so an application may load opencensus-proto or googleapis as well; nothing clashes.  The price: a
``Timestamp`` for these messages is ``puremux.proto.well_known_pb2.Timestamp``, not ``google.protobuf``'s own.
"""
