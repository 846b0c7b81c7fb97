"""Headers of a peer become metadata or RemoteProtocolError, and nothing else; metadata of ours comes back as it was.

The bytes are header names and values in turn, each behind its length.
"""

from __future__ import annotations

from fuzz.common import FIELDS, Choices
from puremux.errors import RemoteProtocolError
from puremux.protocol.metadata import check_fields, decode_metadata, encode_metadata


def check(data: bytes) -> None:
    choices, headers = Choices(data), []
    while choices:
        name = choices.pick((choices.bytes(), choices.pick(FIELDS)[0], b"k-bin", b"k"))
        headers.append((name, choices.bytes()))
    try:
        metadata = decode_metadata(headers)
        check_fields(headers, {b":status"})
    except RemoteProtocolError:  # documented: a -bin value that is not base64, or a malformed field
        return
    for key, value in metadata:
        assert isinstance(value, bytes) is key.endswith("-bin")
    try:
        again = encode_metadata(metadata)
    except ValueError:  # documented: a peer may send what we would not, such as UTF-8 in a value
        return
    assert decode_metadata(again) == metadata
