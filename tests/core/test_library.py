import re
from importlib.metadata import version

from mixwire.core.library import LIBRARY, VERSION


def test_the_library_goes_by_the_name_it_is_installed_under():
    assert LIBRARY == "mixwire"
    assert version(LIBRARY) == VERSION


def test_name_and_version_stand_in_json_as_they_are():
    assert re.fullmatch(r"[a-z]+", LIBRARY)
    assert re.fullmatch(r"[0-9]+\.[0-9]+\.[0-9]+[a-z0-9.]*", VERSION)
