"""``puremux demo``: the end-to-end program of OpenCensus's documentation, with a look at what becomes of its data.

Floor 5, a face: may import every floor below.  ``program`` is the only module of puremux that imports opencensus.
"""
