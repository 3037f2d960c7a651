"""
Between plain data and descriptions: the hooks of cattrs that check every value and know where it stands.

Each raises with the path below its own place, and who calls it adds the place; so a fault has its whole path. A value
is never converted from another type, except `Text`.
"""

from __future__ import annotations

import os
import re
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, Union, cast, get_args, get_origin

from attrs import NOTHING, Attribute, fields, has, resolve_types
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from ..core import InvalidValue
from ..core.errors import describe
from .descriptions import Description
from .forms import Text, read_form, read_json
from .tags import is_description, kind_of, tag_of, unknown

__all__ = ["description_of", "keys_of", "table_of"]


def description_of(data: object, _: object = Description) -> Description:
    """
    The description that *data* is: one already, a table, or a string.
    """
    if is_description(data):
        return data
    table = keys_of(data)
    kind = _kind(table)
    return cast("Description", _hook(kind)({name: value for name, value in table.items() if name != "type"}, kind))


def table_of(description: Description) -> dict[str, object]:
    """
    The description as a table; what has its default is left out.
    """
    kind = type(description)
    tag = tag_of(kind)
    return {"type": tag, **_CONVERTER.get_unstructure_hook(kind)(description)}


def keys_of(data: object) -> dict[str, object]:
    """
    The keys of *data*, ``type`` among them, before anything but the tag is checked.
    """
    if is_description(data):
        return table_of(data)
    if isinstance(data, str):
        return dict(_keys(read_json(data))) if _is_json(data) else _from_form(data)
    return dict(_keys(data, "a table, or a str such as 'buffered'"))


def _kind(table: Mapping[str, object]) -> type[Description]:
    tag = table.get("type")
    if not isinstance(tag, str):
        raise InvalidValue("type", "given: the tag of a transport" if tag is None else "a str", _found(tag))
    return kind_of(str(tag))


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("{", "["))


def _keys(data: object, allowed: str = "a table") -> Mapping[str, object]:
    if not isinstance(data, Mapping):
        raise InvalidValue("", allowed, _found(data))
    for name in cast("Mapping[object, object]", data):
        if not isinstance(name, str):
            raise InvalidValue("", "a table whose keys are str", f"one with a key that is {describe(name)}")
    return cast("Mapping[str, object]", data)


def _from_form(text: str) -> dict[str, object]:
    form = read_form(text)
    table: dict[str, object] = {"type": form.tag, **form.keys}
    if "type" in form.keys:
        raise InvalidValue("type", "given once, before the colon", "again as a key")
    kind = kind_of(form.tag)
    for part, value in (("host", form.host), ("path", form.path)):
        if not value:
            continue
        names = [name for name, attribute in _attributes(kind).items() if attribute.metadata.get("url") == part]
        if not names:
            # The path of buffered://eu/ says nothing.
            if part == "path" and value == "/" and form.host:
                continue
            takes_path = any(attribute.metadata.get("url") == "path" for attribute in _attributes(kind).values())
            beside = "path begins with a third slash" if takes_path else "keys follow a question mark"
            shown = f" ({form.tag}:///var/spool/app)" if takes_path else ""
            raise InvalidValue("", f"without a {part} for {form.tag!r}, whose {beside}{shown}", "with one")
        (name,) = names
        if name in table:
            raise InvalidValue(name, f"given once: as the {part} or as a key", "twice")
        table[name] = value
    return table


def _attributes(kind: type[Any]) -> dict[str, Attribute[Any]]:  # Any: fields of whatever type
    return {attribute.alias or attribute.name: attribute for attribute in fields(kind) if attribute.init}


def _hook(kind: type[Any]) -> Callable[[Any, Any], Any]:  # Any: as cattrs declares it
    try:
        return _CONVERTER.get_structure_hook(kind)
    except (NameError, TypeError) as error:
        # The annotations of another package's class cannot be read.
        raise InvalidValue("type", "a tag of a class whose fields can be read", type(error).__name__) from error


def _structure_class(kind: type[Any]) -> Callable[[Any, Any], Any]:
    """
    Makes the hook of an attrs class: its keys are checked, and its values handed to the hooks of their types.
    """
    attributes = _attributes(resolve_types(kind))
    hooks = {name: _CONVERTER.get_structure_hook(attribute.type or object) for name, attribute in attributes.items()}

    def structure_fields(data: object, _: object) -> object:
        if type(data) is kind:
            return data
        table = _keys(read_json(data) if isinstance(data, Text) and _is_json(data) else data)
        for name in table:
            if name not in attributes:
                raise _unknown_key(name, list(attributes))
        given: dict[str, object] = {}
        for name, attribute in attributes.items():
            if name in table:
                given[name] = _structure_value(name, table[name], hooks[name], attribute.type)
            elif _is_required(attribute):
                raise InvalidValue(name, "given", "missing")
        return _made(kind, given)

    return structure_fields


def _structure_value(name: str, value: object, hook: Callable[[Any, Any], Any], kind: object) -> object:
    try:
        return hook(value, kind)
    except InvalidValue as fault:
        raise fault.under(name) from fault.__cause__
    except (AttributeError, TypeError, ValueError) as error:
        # One of the hooks of cattrs, for a type that only another package's class has.
        raise InvalidValue(name, f"of the type {getattr(kind, '__qualname__', kind)}", _found(value)) from error


def _made(kind: type[Any], given: dict[str, object]) -> object:
    try:
        return kind(**given)
    except InvalidValue:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidValue("", f"what {kind.__qualname__} takes", f"refused by it ({type(error).__name__})") from error


def _is_required(attribute: Attribute[Any]) -> bool:
    return attribute.default is NOTHING


def _unknown_key(name: str, known: list[str]) -> InvalidValue:
    path = name if name.isidentifier() and len(name) <= 60 else f"[{name[:60]!r}]"
    allowed = "one of the known keys: " + ", ".join(known) if known else "left out"
    return InvalidValue(path, allowed, unknown(name, known))


def _structure_bool(value: object, _: object) -> bool:
    if type(value) is bool:
        return value
    if isinstance(value, Text) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise InvalidValue("", "true or false", _found(value))


_INT: Final = re.compile(r"[+-]?[0-9]+(?:_[0-9]+)*")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def _structure_int(value: object, _: object) -> int:
    if type(value) is int:
        return value
    if isinstance(value, Text) and len(value) <= 100 and _INT.fullmatch(value):
        return int(value)
    raise InvalidValue("", "an int", _found(value))


def _structure_float(value: object, _: object) -> float:
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, Text) and len(value) <= 100 and _FLOAT.fullmatch(value):
        return float(value)
    raise InvalidValue("", "a number", _found(value))


def _structure_str(value: object, _: object) -> str:
    if isinstance(value, Path):
        return os.fspath(value)
    if not isinstance(value, str):
        raise InvalidValue("", "a str", _found(value))
    return str(value)


def _structure_as_it_is(value: object, _: object) -> object:
    return str(value) if isinstance(value, Text) else value


def _structure_choice(kind: Any) -> Callable[[object, object], object]:
    choices = get_args(kind)

    def structure_choice(value: object, _: object) -> object:
        plain = _structure_as_it_is(value, None)
        for choice in choices:
            if type(plain) is type(choice) and plain == choice:
                return plain
        raise InvalidValue("", "one of " + ", ".join(map(repr, choices)), "another value")

    return structure_choice


def _structure_union(kind: Any) -> Callable[[object, object], object]:
    """
    Makes the hook of ``A | B | None``: tables are for its class, everything else for the first type that takes it.
    """
    kinds = [each for each in get_args(kind) if each is not types.NoneType]
    is_optional = len(kinds) < len(get_args(kind))
    tables = [each for each in kinds if has(each) or each is Description]
    plain = [each for each in kinds if each not in tables]
    hooks = {each: _CONVERTER.get_structure_hook(each) for each in kinds}

    def structure_one_of(value: object, _: object) -> object:
        if is_optional and (value is None or (value == "none" and str not in kinds)):
            return None
        if tables and (not plain or _iskeys_of(value)):
            return hooks[tables[0]](value, tables[0])
        faults: list[InvalidValue] = []
        for each in plain:
            try:
                return hooks[each](value, each)
            except InvalidValue as fault:
                faults.append(fault)
        allowed = [fault.allowed for fault in faults] + ["a table"] * bool(tables) + ["None"] * is_optional
        raise InvalidValue(faults[0].path, " or ".join(allowed), faults[0].found)

    return structure_one_of


def _iskeys_of(value: object) -> bool:
    return isinstance(value, Mapping) or is_description(value) or (isinstance(value, Text) and _is_json(value))


def _structure_sequence(kind: Any) -> Callable[[object, object], object]:
    (element, *_) = get_args(kind) or (object,)
    hook = _CONVERTER.get_structure_hook(element)
    make = get_origin(kind) or kind

    def structure_each(value: object, _: object) -> object:
        if isinstance(value, Text):
            value = read_json(value) if value.lstrip().startswith("[") else [value]
        if not isinstance(value, list | tuple):
            raise InvalidValue("", "a list", _found(value))
        structured: list[object] = []
        for index, each in enumerate(cast("list[object]", value)):
            try:
                structured.append(hook(each, element))
            except InvalidValue as fault:
                raise fault.under(f"[{index}]") from fault.__cause__
        return make(structured)

    return structure_each


def _structure_mapping(kind: Any) -> Callable[[object, object], object]:
    (_, element) = get_args(kind) or (str, object)
    hook = _CONVERTER.get_structure_hook(element)

    def structure_mapping(value: object, _: object) -> dict[str, object]:
        table = _keys(read_json(value) if isinstance(value, Text) and _is_json(value) else value)
        return {name: _structure_value(f"[{name!r}]", each, hook, element) for name, each in table.items()}

    return structure_mapping


def _found(value: object) -> str:
    """
    What kind of thing stands there, phrased to follow "not".
    """
    if value is None:
        return "missing"
    if isinstance(value, Text):
        return "another text" if value else "empty"
    if isinstance(value, type):
        return "a class, of which one must be made"
    return "a table" if isinstance(value, Mapping) else describe(value)


def _unstructure_class(kind: type[Any]) -> Callable[[Any], dict[str, Any]]:
    resolved = resolve_types(kind)
    return make_dict_unstructure_fn(resolved, _CONVERTER, _cattrs_omit_if_default=True, _cattrs_use_alias=True)


def _unstructure_union(kind: Any) -> Callable[[object], object]:
    return _CONVERTER.unstructure


def _is_union(kind: object) -> bool:
    return get_origin(kind) in (Union, types.UnionType)


def _is_choice(kind: object) -> bool:
    return get_origin(kind) is Literal


def _is_sequence(kind: object) -> bool:
    if get_origin(kind) is tuple:
        return len(get_args(kind)) == 2 and get_args(kind)[1] is ...
    return get_origin(kind) is list or kind is list


def _is_mapping(kind: object) -> bool:
    return kind is dict or (get_origin(kind) in (dict, Mapping) and get_args(kind)[0] is str)


def _is_anything(kind: object) -> bool:
    return kind is object or kind is Any


def _is_description_kind(kind: object) -> bool:
    return kind is Description


def _unstructure_sequence(kind: Any) -> Callable[[Any], list[object]]:
    (element, *_) = get_args(kind) or (None,)
    hook = _CONVERTER.get_unstructure_hook(element)
    return lambda values: [hook(value) for value in values]


def _converter() -> Converter:
    # What cattrs does not know goes to the class as it is, which may have a converter of its own.
    converter = Converter(detailed_validation=False, structure_fallback_factory=lambda kind: _structure_as_it_is)
    converter.register_structure_hook_factory(has, _structure_class)
    converter.register_structure_hook_factory(_is_union, _structure_union)
    converter.register_structure_hook_factory(_is_choice, _structure_choice)
    converter.register_structure_hook_factory(_is_sequence, _structure_sequence)
    converter.register_structure_hook_factory(_is_mapping, _structure_mapping)
    converter.register_structure_hook_func(_is_description_kind, description_of)
    converter.register_structure_hook_func(_is_anything, _structure_as_it_is)
    scalars: dict[Any, Callable[[object, object], object]] = {
        bool: _structure_bool,
        int: _structure_int,
        float: _structure_float,
        str: _structure_str,
    }
    for kind, hook in scalars.items():
        converter.register_structure_hook(kind, hook)
    converter.register_unstructure_hook_factory(has, _unstructure_class)
    converter.register_unstructure_hook_factory(_is_union, _unstructure_union)
    converter.register_unstructure_hook_factory(_is_sequence, _unstructure_sequence)
    converter.register_unstructure_hook_func(_is_description_kind, table_of)
    return converter


_CONVERTER: Final = _converter()
