"""The version, in its one place.

Floor 1, words.
"""

__version__ = "0.1.0"
