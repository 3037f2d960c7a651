"""
Text that can be sent, and names that fit into a sentence.
"""

from __future__ import annotations

from .errors import InvalidValue

__all__ = ["hidden", "is_utf8", "short_name", "utf8"]


def is_utf8(text: str) -> bool:
    """
    Whether UTF-8 can hold the text: it cannot hold half of a surrogate pair.
    """
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def utf8(text: str, path: str) -> str:
    """
    The text, if UTF-8 can hold it.
    """
    # The exception of the codec holds the text, so ours must not be raised while that one is handled.
    if not is_utf8(text):
        raise InvalidValue(path, "text that UTF-8 can hold", "a str with a lone surrogate")
    return text


def hidden(value: object) -> str:
    """
    The repr of a value that must not be shown, because it is a secret or somebody's data.
    """
    return "None" if value is None else "'***'"


def short_name(name: str) -> str:
    """
    The repr of a property name, not too long for a sentence.
    """
    return repr(name) if len(name) <= 60 else repr(f"{name[:59]}…")
