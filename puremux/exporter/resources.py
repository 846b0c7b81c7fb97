"""What a program runs on: the Resource that opens every stream, beside the Node.

Floor 4, exporter: imports logs, fields and sentences; no protobuf.
Spec: opencensus-proto, resource/v1/resource.proto; opencensus-specs, resource/Resource.md for the environment variables
and for merging.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from ..logs import CarefulLogger
from .fields import LENGTH, map_field, string_field, tag
from .sentences import describe, reason_of, text

__all__ = ["Resource", "merge_resources", "parse_labels", "resource_from_environment", "resource_of"]

logger = CarefulLogger("puremux.exporter")

TYPE_VARIABLE = "OC_RESOURCE_TYPE"
LABELS_VARIABLE = "OC_RESOURCE_LABELS"
LONGEST = 256  # characters of a resource's type, and of a label's key and value
LABEL = r"""\s* (?P<key>   "(?:[^"\\]|\\.)*" | '[^']*' | [^,="']+? ) \s* =
            \s* (?P<value> "(?:[^"\\]|\\.)*" | '[^']*' | [^,="']*? ) \s* (?:,|$)"""

TYPE, LABELS = tag(1, LENGTH), tag(2, LENGTH)


class Resource(NamedTuple):
    """What a program runs on."""

    type: str
    """Such as ``k8s.io/container``; empty where nobody said."""

    labels: Mapping[str, str]
    """What tells it from others of its type."""

    def serialized(self) -> bytes:
        """The message ``Resource``, as it goes on the wire."""
        return string_field(TYPE, self.type) + map_field(LABELS, self.labels)


def resource_of(given: Any) -> Resource:
    """The resource that something describes.

    Args:
        given: a mapping of labels; an object with ``type`` and ``labels``, such as opencensus's ``Resource`` or a
            message; or a detector, a function without arguments that returns one of these or None.  A detector
            that fails is logged, and nothing is known of the resource.
    Raises:
        TypeError: it is none of these.
    """
    if callable(given):
        return _detected(given)
    if given is None:
        return Resource("", {})
    if isinstance(given, Mapping):
        return _resource("", given)
    if hasattr(given, "type") and hasattr(given, "labels"):
        return _resource(given.type, given.labels)
    raise TypeError(
        f"resource takes a mapping of labels, an object with type and labels, or a function that returns one of these, "
        f"not {describe(given)}"
    )


def merge_resources(*resources: Resource) -> Resource:
    """One resource of several: the first that has a type, or a label, and not an empty one, decides it."""
    kind, labels = "", dict[str, str]()
    for resource in resources:
        kind = kind or resource.type
        for key, value in resource.labels.items():
            labels[key] = labels.get(key) or value
    return Resource(kind, labels)


def resource_from_environment(environment: Mapping[str, str] | None = None) -> Resource:
    """The resource that ``OC_RESOURCE_TYPE`` and ``OC_RESOURCE_LABELS`` describe; what can't be read is logged.

    Args:
        environment: None for the process's own.
    """
    environment = os.environ if environment is None else environment
    kind, labels = "", dict[str, str]()
    try:
        kind = _checked(environment.get(TYPE_VARIABLE, "").strip())
    except ValueError as error:
        logger.warning("puremux: %s is ignored: %s", TYPE_VARIABLE, error)
    try:
        labels = parse_labels(environment.get(LABELS_VARIABLE, ""))
    except ValueError as error:
        logger.warning("puremux: %s is ignored: %s", LABELS_VARIABLE, error)
    return Resource(kind, labels)


def parse_labels(given: str) -> dict[str, str]:
    r"""Read labels as ``OC_RESOURCE_LABELS`` has them: ``k8s.pod.name="pod-1",zone=a``.

    Keys and values may be quoted, and must be if they contain a comma, a ``=`` or a quote; within double quotes a
    backslash precedes ``"`` and ``\``.  Of two labels with one key the later holds.

    Raises:
        ValueError: with a sentence, when it is not of this form, or has other than printable ASCII.
    Source: opencensus-specs, resource/Resource.md.  It knows no percent-encoding, and neither do the libraries.
    """
    labels = {}
    label = re.compile(LABEL, re.VERBOSE)  # here, since few programs have any
    rest = given.strip().rstrip(",")
    position = 0
    while position < len(rest):
        match = label.match(rest, position)
        if match is None:
            raise ValueError(f'{describe(rest[position:])} does not begin with key=value or key="value"')
        key, value = _unquoted(match["key"]), _unquoted(match["value"])
        if not key:
            raise ValueError(f"{describe(rest[position:])} begins with a label that has no key")
        labels[_checked(key)] = _checked(value)
        position = match.end()
    return labels


def _unquoted(word: str) -> str:
    if word[:1] == '"':
        return re.sub(r"\\(.)", r"\1", word[1:-1])
    return word[1:-1] if word[:1] == "'" else word


def _checked(word: str) -> str:
    if len(word) > LONGEST or not (word.isascii() and word.isprintable()):
        raise ValueError(f"{describe(word)} is not at most {LONGEST} characters of printable ASCII")
    return word


def _detected(detector: Callable[[], Any]) -> Resource:
    try:
        found = detector()
    except Exception as error:  # noqa: BLE001  somebody's function, which may ask the network
        logger.warning("puremux: the resource detector failed, and no resource is sent: %s", reason_of(error))
        return Resource("", {})
    return resource_of(None if callable(found) else found)


def _resource(kind: Any, labels: Mapping[Any, Any] | None) -> Resource:
    return Resource(text(kind or ""), {text(key): text(value) for key, value in (labels or {}).items()})
