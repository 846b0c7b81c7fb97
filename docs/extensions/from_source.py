"""Sphinx directives whose content comes out of the source, so that the pages cannot drift from it.

- ``call-states``: a table of :mod:`puremux.protocol.stream`, ``SENDING`` or ``RECEIVING``;
- ``message-fields``: the fields of message classes in :mod:`puremux.proto`, by module;
- ``status-codes``: what HTTP statuses and HTTP/2 resets become, of :mod:`puremux.status`;
- ``wire-session``: a call as :func:`session.record` makes it;
- ``wire-text``: the request of that call as ``puremux wire`` shows it.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Iterable, Sequence
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from h2.errors import ErrorCodes
from session import Frame, pieces, record

from puremux import status
from puremux.protocol import stream
from puremux.wire import Decoder
from puremux.wire.text import Printer

WIDTH = 16  # bytes in a line of a dump


class CallStates(Directive):
    """A table of a call's states: ``SENDING`` or ``RECEIVING``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        moves = getattr(stream, self.arguments[0])
        steps = list(stream.Step)
        rows = [
            [each.name, each.value, *(moves[each, step].name if (each, step) in moves else "–" for step in steps)]
            for each in type(next(iter(moves))[0])
        ]
        return [table(["state", "meaning", *(step.value for step in steps)], rows)]


class MessageFields(Directive):
    """The fields of messages: a module of ``puremux.proto``, then the names of messages in it."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        home, *names = self.arguments[0].split()
        module = importlib.import_module(f"puremux.proto.{home}")
        rows = []
        for name in names:
            message: Any = module
            for part in name.split("."):
                message = getattr(message, part)
            rows += [[name, str(each.number), each.name, type_of(each)] for each in message.DESCRIPTOR.fields]
        return [table(["message", "number", "field", "type"], rows)]


class StatusCodes(Directive):
    """What an answer without a ``grpc-status`` means."""

    def run(self) -> list[nodes.Node]:
        http = [[f"HTTP status {each}", code.name] for each, code in status.CODE_FOR_HTTP_STATUS.items()]
        resets = [[f"RST_STREAM {ErrorCodes(each).name}", code.name] for each, code in status.CODE_FOR_RESET.items()]
        others = [
            ["any other HTTP status", status.code_for_http_status(0).name],
            ["any other RST_STREAM", status.code_for_reset(0).name],
        ]
        return [table(["what came", "status code"], [*http, *resets, *others])]


class WireSession(Directive):
    """Every frame of a call, as bytes and in words."""

    def run(self) -> list[nodes.Node]:
        blocks = []
        for frame in record():
            text = dump(frame)
            blocks.append(nodes.literal_block(text, text, language="none"))
        return blocks


class WireText(Directive):
    """The client's headers and message, as text."""

    def run(self) -> list[nodes.Node]:
        output = io.StringIO()
        printer = Printer(output, plain=True)
        decoder = Decoder()
        for piece in pieces():
            for each in decoder.read(piece):
                if each.sender == "client" and getattr(each, "stream_id", 0):
                    printer.show(each)
        text = output.getvalue().strip()
        return [nodes.literal_block(text, text, language="none")]


def dump(frame: Frame) -> str:
    """A frame's name, its bytes in hexadecimal and as text, and what they mean."""
    lines = [f"{frame.sender}: {frame.name}, {len(frame.data)} bytes"]
    for at in range(0, len(frame.data), WIDTH):
        part = frame.data[at : at + WIDTH]
        shown = "".join(chr(each) if 0x20 <= each < 0x7F else "." for each in part)
        lines.append(f"  {part.hex(' '):{3 * WIDTH}} {shown}")
    return "\n".join([*lines, *(f"    {each}" for each in frame.says)])


def type_of(field: Any) -> str:
    """A field's type as a .proto file writes it."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        key, value = field.message_type.fields
        return f"map<{type_of(key)}, {type_of(value)}>"
    named = field.message_type or field.enum_type
    scalar = {getattr(field, name): name[5:].lower() for name in dir(field) if name.startswith("TYPE_")}
    name = named.full_name.removeprefix("opencensus.proto.") if named is not None else scalar[field.type]
    return f"repeated {name}" if is_repeated(field) else name


def is_repeated(field: Any) -> bool:
    """Newer protobufs say it by a property, older ones by a label."""
    said = getattr(field, "is_repeated", None)
    return bool(field.label == field.LABEL_REPEATED if said is None else said)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> nodes.table:
    """A table of plain words."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", row(head))
    group += nodes.tbody("", *map(row, rows))
    return nodes.table("", group)


def row(cells: Sequence[str]) -> nodes.row:
    """One row of it."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph(text=each)) for each in cells))


def setup(app: Any) -> dict[str, bool]:
    """Sphinx's entry."""
    app.add_directive("call-states", CallStates)
    app.add_directive("message-fields", MessageFields)
    app.add_directive("status-codes", StatusCodes)
    app.add_directive("wire-session", WireSession)
    app.add_directive("wire-text", WireText)
    return {"parallel_read_safe": True}
