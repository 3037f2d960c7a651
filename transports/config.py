"""
Transports as data: `structure` turns plain data into a frozen description, `build` opens what it describes.

    structure("buffered://eu?flush_after_seconds=2&spool=/var/spool/app")
    structure({"type": "tee", "transports": ["sync", {"type": "file", "directory": "/var/spool/app"}]})

Every fault that the data alone can tell is found by `structure`, and told with its path; what is left for `build` is
what only the world can tell, such as a directory that cannot be opened. A value is never converted from another type,
with two exceptions: what stands in a URL-like string or a variable is text, and read as the type of its key; and where
a format has no null, as TOML has none, ``"none"`` says None for a key that takes no other text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias, cast

from attrs import field, frozen

from ..core import InvalidValue, Project
from ..core.errors import describe
from .base import Transport
from .descriptions import Description
from .forms import Text
from .structuring import description_of, keys_of, table_of

__all__ = [
    "Data",
    "Layers",
    "build",
    "layers_from_environment",
    "structure",
    "transport_from_environment",
    "unstructure",
]

Data: TypeAlias = Description | Mapping[str, object] | str
"""A description, a table with a ``type``, or a string: a tag, a URL-like string, JSON of such a table."""

_ROOT: Final = "transport"
_VARIABLE: Final = "MIXWIRE_TRANSPORT"


def structure(data: Data, texts: Mapping[str, str] | None = None) -> Description:
    """
    The description that *data* is.

    Args:
        data: A table, a string, or a description, which is returned as it is.
        texts: Values for single keys, over those of *data*, written as text.

    Raises:
        InvalidValue: If there is an unknown tag, an unknown key, or a value of another type or out of range.
    """
    try:
        if texts:
            return description_of({**keys_of(data), **{name: Text(value) for name, value in texts.items()}})
        return description_of(data)
    except RecursionError:
        raise InvalidValue(_ROOT, "nested less deeply", "so deep") from None
    except InvalidValue as fault:
        raise fault.under(_ROOT) from fault.__cause__


def unstructure(description: Description) -> dict[str, object]:
    """
    The description as plain data, which `structure` turns into an equal one; what has its default is left out.

    Raises:
        InvalidValue: If it is of a class that no tag is known for.
    """
    return table_of(description)


def build(data: Data, project: Project) -> Transport:
    """
    Open the transport that *data* describes.

    Raises:
        InvalidValue: If the data is not sound, or something that only the world can tell is wrong.
    """
    if type(project) is not Project:
        raise InvalidValue("project", "Project(...)", describe(cast("object", project)))
    description = structure(data)
    try:
        transport: object = description.build(project)
    except InvalidValue as fault:
        raise fault.under(_ROOT) from fault.__cause__
    if not isinstance(transport, Transport):  # pyright: ignore[reportUnnecessaryIsInstance]  # another package's may lie
        raise InvalidValue(
            _ROOT, f"a description that builds a transport, as {type(description).__name__} should", describe(transport)
        )
    return transport


def transport_from_environment(environment: Mapping[str, str]) -> Description | None:
    """
    The description that variables give, or None: see `layers_from_environment`.

    Raises:
        InvalidValue: As for `structure`, and if there are single keys and nothing that they belong to.
    """
    return layers_from_environment(environment).description()


def layers_from_environment(environment: Mapping[str, str]) -> Layers:
    """
    What variables say about the transport.

    MIXWIRE_TRANSPORT is a tag, a URL-like string or JSON; MIXWIRE_TRANSPORT_FLUSH_AFTER_SECONDS and its like are single
    keys over that. An empty variable is set to nothing, which is an error and never a default.
    """
    prefix = f"{_VARIABLE}_"
    texts = {
        name.removeprefix(prefix).lower(): value
        for name, value in sorted(environment.items())
        if name.startswith(prefix)
    }
    return Layers(data=environment.get(_VARIABLE), texts=texts)


@frozen(kw_only=True)
class Layers:
    """
    A configuration that is not whole yet: one of its sources may say what, another may change single keys of it.

    Attributes:
        data: What `structure` takes; None if nothing said it.
        texts: Values for single keys, over those of *data*, written as text.
    """

    data: Data | None = None
    texts: Mapping[str, str] = field(factory=dict[str, str])

    def over(self, other: Layers) -> Layers:
        """
        These, and those of *other* under them; what was said as a whole here hides all that is said there.
        """
        if self.data is not None:
            return self
        return Layers(data=other.data, texts={**other.texts, **self.texts})

    def description(self) -> Description | None:
        """
        The whole; None if nothing was said.

        Raises:
            InvalidValue: As for `structure`, and if there are single keys and nothing that they belong to.
        """
        if self.data is not None:
            return structure(self.data, self.texts)
        if not self.texts:
            return None
        if "type" not in self.texts:
            given = f"{_VARIABLE}_{next(iter(self.texts)).upper()}"
            raise InvalidValue(_ROOT, f"given as a whole, because {given} is only one key of it", "missing")
        return structure(dict[str, object](), self.texts)
