"""
The fixtures as a user of pytest meets them: without an import, each test for itself, with texts that say what differs.
"""

from __future__ import annotations

import subprocess
import sys
from typing import Final

import pytest

# What was loaded before a run inside this process is not loaded again for each of them.
import mixwire.front_door
import mixwire.testing.server
import mixwire.transports.network  # noqa: F401
from mixwire.testing.assertions import MemoryTracking, ServerTracking

pytest_plugins = ["pytester"]

# A run inside this process finds mixwire loaded.
WARNINGS: Final = ("-W", "error", "-W", "ignore:Module already imported so cannot be rewritten")
STRICT: Final = ("--strict-markers", "-p", "mixwire", "-p", "no:cacheprovider", *WARNINGS)

MEMORY: Final = """
    from mixwire import Mixpanel


    def test_upgrade(mixpanel_memory):
        Mixpanel("canary-t", transport=mixpanel_memory.transport).track("user-1", "Plan Upgraded", {"plan": "free"})
        mixpanel_memory.tracked("Plan Upgraded", distinct_id="user-1", plan="pro")
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # To load the plugins of others takes longer than the tests; `-p mixwire` finds ours by its entry point.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def run(pytester: pytest.Pytester, code: str, *arguments: str) -> pytest.RunResult:
    pytester.makepyfile(code)
    return pytester.runpytest(*STRICT, *arguments)


def passed(result: pytest.RunResult, count: int = 1) -> None:
    result.assert_outcomes(passed=count)
    assert "warning" not in result.stdout.str()


def test_pytest_finds_the_fixtures_by_itself(mixpanel_memory: MemoryTracking, mixpanel_server: ServerTracking) -> None:
    mixpanel_memory.nothing_else()
    mixpanel_server.nothing_else()


def test_the_memory_needs_no_import(pytester: pytest.Pytester) -> None:
    passed(run(pytester, MEMORY.replace("free", "pro")))


def test_the_traceback_ends_at_the_line_of_the_test(pytester: pytest.Pytester) -> None:
    result = run(pytester, MEMORY)
    result.assert_outcomes(failed=1)
    lines = result.stdout.lines
    start = next(index for index, line in enumerate(lines) if line.startswith(">"))
    end = lines.index("=========================== short test summary info ============================")
    assert lines[start:end] == [
        '>       mixpanel_memory.tracked("Plan Upgraded", distinct_id="user-1", plan="pro")',
        (
            "E       AssertionError: 'Plan Upgraded' with distinct_id='user-1', plan='pro' was not tracked. "
            "The nearest event is 'Plan Upgraded':"
        ),
        "E         plan: 'free' instead of 'pro'",
        "",
        "test_the_traceback_ends_at_the_line_of_the_test.py:6: AssertionError",
    ]


def test_a_failure_shows_no_token(pytester: pytest.Pytester) -> None:
    # As a whole, not only the text: pytest shows the values of fixtures too.
    code = MEMORY.replace("def test", "TOKEN = 'canary' + '-u'\n\n\n    def test").replace('"canary-t"', "TOKEN")
    result = run(pytester, code, "--showlocals")
    result.assert_outcomes(failed=1)
    assert "canary-u" not in result.stdout.str() + result.stderr.str()


def test_the_server_takes_what_a_client_sends_over_http(pytester: pytest.Pytester) -> None:
    code = """
        from mixwire import Mixpanel


        def test_upgrade(mixpanel_server):
            assert mixpanel_server.url.startswith("http://127.0.0.1:")
            transport = {"type": "buffered", "server": mixpanel_server.url, "flush_after_seconds": 0.05}
            with Mixpanel("canary-t", transport=transport) as mp:
                mp.track("user-1", "Plan Upgraded", {"plan": "pro"})
                mp.people_increment("user-1", {"credits": 10})
                # Nothing is flushed: this waits until it has come.
                mixpanel_server.tracked("Plan Upgraded", distinct_id="user-1", plan="pro")
                assert mixpanel_server.profile("user-1")["credits"] == 10
            mixpanel_server.nothing_else()
    """
    passed(run(pytester, code))


def test_what_happened_in_one_test_is_not_seen_in_the_next(pytester: pytest.Pytester) -> None:
    code = """
        import pytest
        from mixwire import Mixpanel
        from mixwire.testing.faults import Status


        @pytest.mark.parametrize("number", range(3))
        def test_server(mixpanel_server, number):
            with Mixpanel("canary-t", server=mixpanel_server.url) as mp:
                mp.track("user-1", "Opened", {"number": number})
            mixpanel_server.tracked("Opened", number=number, times=1)
            mixpanel_server.tracked("Opened", times=1)
            mixpanel_server.nothing_else()
            mixpanel_server.fail_next(Status(400), times=None)


        @pytest.mark.parametrize("number", range(3))
        def test_memory(mixpanel_memory, number):
            Mixpanel("canary-t", transport=mixpanel_memory.transport).track("user-1", "Opened", {"number": number})
            mixpanel_memory.tracked("Opened", times=1)
            mixpanel_memory.nothing_else()


        def test_both(mixpanel_memory, mixpanel_server):
            mixpanel_memory.mixpanel.fail_next(Status(400), times=None)
            with Mixpanel("canary-t", server=mixpanel_server.url) as mp:
                mp.track("user-1", "Opened")
            assert len(mixpanel_server.events()) == 1
            assert mixpanel_memory.events() == ()
    """
    passed(run(pytester, code), 7)


def test_each_test_has_a_server_of_its_own_as_its_mark_says(pytester: pytest.Pytester) -> None:
    code = """
        import pytest

        servers = []


        def test_one(mixpanel_server):
            servers.append(mixpanel_server.mixpanel)


        def test_other(mixpanel_server):
            assert mixpanel_server.mixpanel not in servers
            assert mixpanel_server.patience_seconds == 2.0


        @pytest.mark.mixpanel(patience_seconds=0.5)
        def test_patient(mixpanel_server):
            assert mixpanel_server.patience_seconds == 0.5


        @pytest.mark.mixpanel(id_system="simplified")
        def test_marked(mixpanel_server):
            assert mixpanel_server.mixpanel.state.settings.id_system == "simplified"


        def test_unmarked(mixpanel_server):
            assert mixpanel_server.mixpanel.state.settings.id_system == "original"
    """
    passed(run(pytester, code), 5)


def test_the_nearest_mark_says_which_project_it_is(pytester: pytest.Pytester) -> None:
    code = """
        import pytest
        from mixwire import Mixpanel

        pytestmark = pytest.mark.mixpanel(id_system="simplified", token="canary-t", patience_seconds=0.5)


        def test_module(mixpanel_memory, mixpanel_server):
            for mixpanel in (mixpanel_memory, mixpanel_server):
                assert mixpanel.patience_seconds == 0.5
                assert mixpanel.mixpanel.state.settings.id_system == "simplified"
            for token in ("canary-t", "another"):
                Mixpanel(token, transport=mixpanel_memory.transport).track("user-1", "Opened", {"$user_id": "user-1"})
            mixpanel_memory.tracked("Opened", times=1)


        @pytest.mark.mixpanel(id_system="original", patience_seconds=0)
        def test_function(mixpanel_memory, mixpanel_server):
            for mixpanel in (mixpanel_memory, mixpanel_server):
                assert mixpanel.patience_seconds == 0
                assert mixpanel.mixpanel.state.settings.id_system == "original"
                assert mixpanel.mixpanel.state.settings.token == "canary-t"
    """
    passed(run(pytester, code), 2)


def test_without_a_mark_the_server_is_patient_and_the_memory_is_not(pytester: pytest.Pytester) -> None:
    code = """
        def test_both(mixpanel_memory, mixpanel_server):
            assert (mixpanel_memory.patience_seconds, mixpanel_server.patience_seconds) == (0, 2)
    """
    passed(run(pytester, code))


@pytest.mark.parametrize(
    ("mark", "sentence"),
    [
        ("'simplified'", "@pytest.mark.mixpanel takes keyword arguments only"),
        ("id_sistem='simplified'", "@pytest.mark.mixpanel has no argument id_sistem"),
        (
            "id_system='legacy'",
            "@pytest.mark.mixpanel: id_system must be 'original' or 'simplified', not 'legacy'",
        ),
    ],
    ids=["place", "name", "value"],
)
@pytest.mark.parametrize("fixture", ["mixpanel_memory", "mixpanel_server"])
def test_a_mark_that_is_wrong_is_answered_with_a_sentence(
    pytester: pytest.Pytester, fixture: str, mark: str, sentence: str
) -> None:
    code = f"""
        import pytest


        @pytest.mark.mixpanel({mark})
        def test_it({fixture}):
            pass
    """
    result = run(pytester, code)
    result.assert_outcomes(errors=1)
    assert sentence in result.stdout.lines
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_extra_is_answered_with_the_line_that_installs_it(pytester: pytest.Pytester, missing: str) -> None:
    pytester.makeconftest(f"""
        import sys

        for name in [name for name in sys.modules if name.split(".")[0] == "{missing}"]:
            del sys.modules[name]
        sys.modules.pop("mixwire.testing.server", None)


        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] == "{missing}":
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


        sys.meta_path.insert(0, Missing())
    """)
    pytester.makepyfile("""
        def test_server(mixpanel_server):
            pass


        def test_memory(mixpanel_memory):
            pass
    """)
    result = pytester.runpytest_subprocess(*STRICT)
    result.assert_outcomes(passed=1, errors=1)
    assert f"mixpanel_server needs {missing}: pip install 'mixwire[emulator]'" in result.stdout.lines
    assert "Traceback" not in result.stdout.str()


def test_the_fixtures_work_in_several_processes(pytester: pytest.Pytester) -> None:
    code = """
        import pytest
        from mixwire import Mixpanel


        @pytest.mark.parametrize("number", range(6))
        def test_server(mixpanel_server, number):
            with Mixpanel("canary-t", transport={"type": "buffered", "server": mixpanel_server.url}) as mp:
                mp.track("user-1", "Opened", {"number": number})
            mixpanel_server.tracked("Opened", number=number, times=1)
            mixpanel_server.nothing_else()
    """
    pytester.makepyfile(code)
    passed(pytester.runpytest_subprocess(*STRICT, "-p", "xdist", "--numprocesses=2"), 6)


def test_the_fixtures_and_the_mark_are_explained(pytester: pytest.Pytester) -> None:
    listed = pytester.runpytest(*STRICT, "--fixtures").stdout
    listed.re_match_lines(["mixpanel_memory -- .*pytest_plugin.py:.*", ".*A Mixpanel without a socket.*"])
    listed.re_match_lines(["mixpanel_server -- .*pytest_plugin.py:.*", ".*A Mixpanel behind real HTTP.*"])
    pytester.runpytest(*STRICT, "--markers").stdout.fnmatch_lines(["@pytest.mark.mixpanel(id_system=..., *"])


def test_to_load_the_plugin_loads_nothing_else() -> None:
    code = "import pytest, sys; before = set(sys.modules); import mixwire.testing.pytest_plugin; "
    code += "print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mixwire", "mixwire.testing", "mixwire.testing.pytest_plugin"]
