"""All metrics of all clients, sorted into the families of one Prometheus page; clashes are resolved here.

Floor 5, agent: imports naming, series, values, views and ``puremux.proto``.
Spec: Prometheus's text format 0.0.4 and OpenMetrics 1.0: a family has one name, type and help, a series appears once.

The rules, which depend on nothing but the order in which clients were first seen:

- *type*: the client first seen gives a name its type.  Another type goes to a family of its own, ``<name>_<type>``, and
  its help says so; where that is taken too, the metric is left out.
- *help*: the client first seen gives a family its help; that others differ is said in it.
- *label*: a label named as one of the page's own is called ``exported_<name>``; two labels that become one have their
  values joined by ``;``, as with the Collector.
- *series*: where two series have equal labels still, the one of the client last seen first is shown.  Such are the
  series of a process that was restarted with its old name, and of one with two exporters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from .naming import Exposition, exposition, label_name, label_names
from .series import Descriptor, LabelValues
from .values import Value
from .views import SourceView

__all__ = ["Conflict", "Families", "Family", "Labels", "source_labels"]
