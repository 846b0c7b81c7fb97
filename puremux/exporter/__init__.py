"""The exporter facade: spans and metrics in, OpenCensus Agent protocol out.

Floor 4, exporter: imports channel, call and the floors below them, and ``puremux.proto``.
"""
