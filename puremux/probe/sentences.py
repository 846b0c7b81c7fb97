"""Errors of the floors below, cut in two: what is wrong, and what to do about it in the words of the command line.

Floor 5, probe: imports findings.

An error's sentence ends in an advice, behind its last semicolon.
"""

from __future__ import annotations

from collections.abc import Mapping

from .findings import printable

__all__ = ["advise"]

IN_OPTIONS: Mapping[str, str] = {  # what a program does, and what stands for it here
    "if it is meant to be plaintext, pass insecure=True": "If it is meant to be plaintext, give --insecure "
    "(in a program: insecure=True)",
    "if that is meant, pass tls=ssl.create_default_context(cafile=...) with the certificate of its issuer": "If that "
    "is meant, give the certificate of its issuer by --ca FILE (in a program: "
    "tls=ssl.create_default_context(cafile=FILE))",
    "give one with load_cert_chain() to the ssl.SSLContext that is passed as tls=": "Give one by --cert FILE and "
    "--key FILE (in a program: load_cert_chain() of the ssl.SSLContext that is passed as tls=)",
    "pass one that it accepts in tls=": "Give one that it accepts by --cert FILE and --key FILE",
    "is the server running there?": "Start the server there, or correct the port",
    "use a name that it has as the address": "Use a name that it has as the address, or as --authority",
}

DEFAULT = "Look into the server's log"


def advise(sentence: str) -> tuple[str, str]:
    """Cut an error's sentence into what is wrong and what to do; both begin in upper case where words do."""
    wrong, semicolon, advice = sentence.rstrip(".").rpartition("; ")
    if not semicolon:
        wrong, advice = advice, DEFAULT
    advice = IN_OPTIONS.get(advice, advice[:1].upper() + advice[1:])
    return printable(wrong), advice + ("" if advice.endswith("?") else ".")
