"""A text is an address, or AddressError says why not; an address is written so that it is read as itself."""

from __future__ import annotations

from puremux.errors import AddressError
from puremux.transport.address import parse_address


def check(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    try:
        address = parse_address(text, 55678)
    except AddressError as error:  # documented: it quotes the text and says what is expected
        assert str(error)
        return
    assert address.places
    assert parse_address(str(address)) == address
