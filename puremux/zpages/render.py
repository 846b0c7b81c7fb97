"""Pages made of templates by jinja2, which the extra ``puremux[zpages]`` brings.

Floor 5, zpages: imports text, details and errors below; and jinja2.

Everything that comes from outside is escaped, and :func:`puremux.zpages.text.visible` goes over every text before, by
way of jinja2's ``finalize``: no template can forget it.
"""

from __future__ import annotations

import functools
import pkgutil
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import PuremuxError
from . import text
from .details import status_name, when

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["STYLE", "render", "require_jinja2", "style_sheet"]

STYLE = "zpages.css"
MISSING = "zPages are made with jinja2, which cannot be imported ({}).  Install it: pip install 'puremux[zpages]'"


def require_jinja2() -> None:
    """See that pages can be made.

    Raises:
        PuremuxError: they cannot; the sentence says what to install.
    """
    try:
        import jinja2  # noqa: F401  here, since it is an extra
    except ImportError as error:
        raise PuremuxError(MISSING.format(error)) from None


def render(template: str, values: Mapping[str, Any]) -> bytes:
    """A page, in UTF-8."""
    return _environment().get_template(template).render(values).encode("utf-8", "replace")


@functools.lru_cache(maxsize=1)
def style_sheet() -> bytes:
    """The one style sheet."""
    return _packaged(STYLE)


def _packaged(name: str) -> bytes:
    data = pkgutil.get_data(__package__, f"templates/{name}")  # also out of a zip file
    if data is None:
        raise FileNotFoundError(f"puremux/zpages/templates/{name} is not packaged")
    return data


@functools.lru_cache(maxsize=1)
def _environment() -> Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: _packaged(name).decode()),
        autoescape=True,
        finalize=_harmless,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    for each in (text.number, text.size, text.duration, text.clock_time, text.cut, text.visible, status_name, when):
        environment.filters[each.__name__] = each
    return environment


def _harmless(value: Any) -> Any:
    return text.visible(value) if type(value) is str else value
