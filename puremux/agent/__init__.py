"""An embedded OpenCensus Agent.

Floor 5, a face: may import every floor below and ``puremux.proto``.
"""
