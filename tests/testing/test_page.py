"""
The live page in a real browser, beside a real server.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, Keys
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from mixwire.core import Project, Track, encode
from mixwire.testing.faults import Script, Status
from mixwire.testing.local import LocalMixpanel
from mixwire.testing.server import MixpanelServer
from mixwire.testing.state import Fate, HttpReply, HttpRequest, Settings
from mixwire.transports import SyncTransport

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.needs("chromedriver")]

GUARD_SECONDS: Final = 20.0
"""Nothing is waited for longer, so that a broken page fails a test instead of hanging it."""

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

HOSTILE: Final = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>&lt;b&gt;"

_Found = TypeVar("_Found")


def until(look: Callable[[], _Found]) -> _Found:
    """
    What *look* finds as soon as it finds something.
    """
    end = time.monotonic() + GUARD_SECONDS
    while True:
        try:
            found = look()
        except StaleElementReferenceException:
            # The page has put another one in its place meanwhile.
            found = None
        if found or time.monotonic() > end:
            assert found
            return found
        time.sleep(0.02)


class Page:
    """
    The page of a server, as somebody sees and uses it.
    """

    def __init__(self, browser: Chrome, server: MixpanelServer) -> None:
        self.browser = browser
        self.server = server

    def open(self, place: str = "events") -> None:
        # A change of what stands behind # alone would load nothing.
        self.browser.get("about:blank")
        self.browser.get(f"{self.server.url}/#{place}")
        until(lambda: self.text("#link") == "Live")

    def go(self, place: str) -> None:
        self.run("location.hash = arguments[0]", place)

    # A script answers with any JSON.
    def run(self, script: str, *arguments: object) -> Any:
        return self.browser.execute_script(script, *arguments)

    def find(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        """
        What is seen of it; nothing if it is not there or hidden.
        """
        script = (
            "const found = document.querySelector(arguments[0]); return found?.checkVisibility() ? found.innerText : ''"
        )
        return str(self.run(script, selector))

    def rows(self, part: str = "") -> list[str]:
        found = self.run(
            "return [...document.querySelectorAll(arguments[0])].map(row => row.innerText)", f".row {part}"
        )
        return [str(each) for each in found]

    def names(self) -> list[str]:
        return self.rows(".name")

    def focused(self) -> str:
        return str(self.run("return document.activeElement.innerText || document.activeElement.id"))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.browser.switch_to.active_element.send_keys(key)

    def type(self, selector: str, text: str) -> None:
        self.find(selector).clear()
        self.find(selector).send_keys(text)

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def open_row(self, text: str) -> str:
        """
        The details of the first row that has *text*, with the request that brought it.
        """
        script = "[...document.querySelectorAll('.row')].find(row => row.innerText.includes(arguments[0]))?.click()"
        until(lambda: any(text in row for row in self.rows()))
        self.run(script, text)
        until(lambda: "Loading" not in self.text("#detail") and "Looking for it" not in self.text("#detail"))
        return self.text("#detail")

    def look(self, *, width: int = 1280, height: int = 800, scheme: str = "light") -> None:
        """
        Make the screen as large as that, and let the reader prefer that scheme.
        """
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 900}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        wishes = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": wishes})

    def complaints(self) -> list[dict[str, Any]]:
        """
        What the browser wrote to its console since this was asked last.
        """
        return list(self.browser.get_log("browser"))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def page(browser: Chrome) -> Iterator[Page]:
    with MixpanelServer() as server:
        page = Page(browser, server)
        page.look()
        page.complaints()
        yield page
        browser.get("about:blank")


def post(mixpanel: LocalMixpanel, path: str, *records: object) -> HttpReply:
    """
    What is answered to records of whatever form.
    """
    headers = (("Content-Type", "application/json"), ("Authorization", "Basic dG9rZW46"))
    return mixpanel.respond(HttpRequest(target=path, headers=headers, body=json.dumps(records).encode()))


def event(name: object = "Signed Up", user: str = "user-1", **properties: object) -> dict[str, object]:
    return {"event": name, "properties": {"token": "token", "distinct_id": user, **properties}}


def people(user: str = "user-1", **operations: object) -> dict[str, object]:
    return {"$token": "token", "$distinct_id": user} | {f"${name}": value for name, value in operations.items()}


def group(**operations: object) -> dict[str, object]:
    given = {f"${name}": value for name, value in operations.items()}
    return {"$token": "token", "$group_key": "company", "$group_id": "acme", **given}


def test_an_event_sent_by_a_client_appears_by_itself(page: Page) -> None:
    page.open()
    assert page.server.url in page.text("#empty")
    page.run("window.wasHere = true")
    project = Project("token", server=page.server.url)
    with SyncTransport(project) as transport:
        for name in ("Signed Up", "Plan Upgraded"):
            sent = Track(name, distinct_id="user-1", time=int(time.time()), insert_id=f"id-{name[0]}")
            assert transport.send(encode(sent, project)).is_success
    until(lambda: page.names() == ["Plan Upgraded", "Signed Up"])
    assert page.run("return window.wasHere")
    assert page.rows(".user") == ["user-1", "user-1"]
    assert page.text("#empty") == ""


def test_a_page_without_events_sends_a_first_one_when_asked(page: Page) -> None:
    page.open()
    page.click("#empty .main")
    until(lambda: page.names() == ["Signed Up"])


def test_filters_leave_the_rows_that_match(page: Page) -> None:
    post(
        page.server.mixpanel,
        "/track",
        event("Signed Up", "user-1", plan="pro"),
        event("Plan Upgraded", "user-1", plan="Free"),
        event("Plan Upgraded", "user-2", note={"inner": "needle"}),
        event("Ping", "user-2", **{"$ignore": True}),
    )
    page.open()
    until(lambda: len(page.names()) == 4)
    page.press("/")
    assert page.focused() == "filter-text"
    page.press("NEEDLE")
    assert page.rows(".user") == ["user-2"]
    assert page.text("#end-text").startswith("1 of 4 events matches.")
    page.press(Keys.ESCAPE)
    page.type("#filter-name", "upgr")
    assert page.rows(".user") == ["user-2", "user-1"]
    page.type("#filter-user", "user-1")
    assert page.rows(".text") == ["plan: Free"]
    page.type("#filter-name", " ")
    assert page.names() == ["Plan Upgraded", "Signed Up"]
    page.type("#filter-user", " ")
    page.run("document.querySelector('#fates input[value=dropped]').click()")
    assert page.names() == ["Ping"]
    page.type("#filter-text", "carries $ignore")
    assert page.names() == ["Ping"]
    page.type("#filter-text", "nowhere")
    assert page.names() == []
    assert page.text("#end-text").startswith("None of 4 events matches.")


def test_keys_walk_through_the_rows_and_open_and_close_one(page: Page) -> None:
    cart = [{"sku": "A-1", "price": 9.5}]
    post(page.server.mixpanel, "/track?verbose=1", event("First"), event("Second", cart=cart, big=2**60 + 1, yes=True))
    page.open()
    until(lambda: page.names() == ["Second", "First"])
    page.press("j")
    assert page.focused().startswith(page.rows()[0])
    page.press("j", "j")
    assert page.focused() == page.rows()[1]
    page.press("k", Keys.ENTER)
    until(lambda: "As it came" in page.text("#detail"))
    detail = page.text("#detail")
    # The types are told, a number is not rounded, and the request and its answer are as they travelled.
    for part in ("list of 1", '"sku": "A-1"', "number", "true", "boolean", "record 2 of 2"):
        assert part in detail
    assert str(2**60 + 1) in page.text("#detail table")
    assert "POST /track?verbose=1" in detail
    assert '[{"event": "First", ' in detail
    assert '{"error":null,"status":1}' in detail.replace(" ", "")
    assert "Basic dG9rZW46" not in page.run("return document.querySelector('#detail').textContent")
    page.press(Keys.ARROW_DOWN)
    until(lambda: page.text("#detail h2") == "First")
    page.press(Keys.ESCAPE)
    until(lambda: not page.find("#detail").is_displayed())
    assert page.focused() == page.rows()[1]
    page.press("?")
    assert page.find("#help").is_displayed()
    page.press(Keys.ESCAPE)
    assert not page.find("#help").is_displayed()
    page.press("5")
    until(lambda: page.names() == ["POST /track"])


def test_every_control_is_reached_by_tab_and_shows_that_it_is(page: Page) -> None:
    post(page.server.mixpanel, "/track", event(), event())
    page.open()
    until(lambda: len(page.rows()) == 2)
    reached: list[str] = []
    for _ in range(30):
        page.press(Keys.TAB)
        name, outline = page.run(
            "const active = document.activeElement;"
            "const shown = active.matches('.fates input') ? active.nextSibling : active;"
            "return [active.id || active.className || active.dataset.view, getComputedStyle(shown).outlineStyle]"
        )
        if name in reached:
            break
        if name:
            assert outline == "solid", name
            reached.append(str(name))
    wanted = "skip pause open-faults open-reset open-help events requests filter-text filter-name filter-user row"
    assert set(wanted.split()) <= set(reached)


def test_what_was_refused_dropped_ignored_or_truncated_says_why(page: Page) -> None:
    mixpanel = page.server.mixpanel
    now = int(time.time())
    post(mixpanel, "/track", event("Dropped", **{"$ignore": True}), event("Cut", note="x" * 300))
    post(mixpanel, "/import?strict=1", event("Refused", time=now + 90_000, **{"$insert_id": "a"}))
    post(mixpanel, "/track", event("$identify", **{"$identified_id": "user-1", "$anon_id": "user-1"}))
    page.open()
    found = {each.name: each for each in mixpanel.state.events.entries}
    assert [found[name].fate for name in ("Dropped", "Cut", "Refused", "$identify")] == [
        Fate.DROPPED,
        Fate.STORED,
        Fate.REFUSED,
        Fate.IGNORED,
    ]
    for name, each in found.items():
        detail = page.open_row(name)
        said = [each.reason] if each.reason else list(each.notes)
        assert said
        for sentence in said:
            assert sentence in detail
            assert any(sentence in row for row in page.rows(".why"))
        assert each.fate.value in page.text("#detail header")
    assert "thrown away" in page.open_row("Dropped")
    assert "worth knowing" in page.open_row("Cut")
    assert f'"{"x" * 300}"' in page.text("#detail")


def test_profiles_stand_with_their_history(page: Page) -> None:
    mixpanel = page.server.mixpanel
    post(mixpanel, "/engage", people(set={"plan": "pro"}), people(add={"credits": 10}), people(add={"plan": 1}))
    post(mixpanel, "/engage", {"$token": "token", "$set": {"of": "nobody"}})
    post(mixpanel, "/groups", group(set={"seats": 12}))
    page.open("users")
    until(lambda: page.names() == ["user-1"])
    detail = page.open_row("user-1")
    assert '"pro"' in detail
    assert "credits" in detail
    history = page.text(".history")
    assert history.index("$add plan") < history.index("$add credits") < history.index("$set plan")
    assert "ignored" in history
    assert mixpanel.state.updates.entries[2].reason in history
    # What comes in while somebody reads is put in.
    post(mixpanel, "/engage", people(unset=["plan"]))
    until(lambda: "$unset plan" in page.text(".history"))
    assert '"pro"' not in page.text("#detail table")
    page.go("groups")
    until(lambda: page.names() == ["acme"])
    assert "seats" in page.open_row("acme")
    page.go("updates")
    until(lambda: len(page.rows()) == 6)
    detail = page.open_row("nobody")
    assert "of nobody" in detail
    assert next(each.reason for each in mixpanel.state.updates.entries if each.owner is None) in detail
    # A deleted profile is no longer there, and the page says so.
    page.go("users/user-1")
    until(lambda: "History" in page.text("#detail"))
    post(mixpanel, "/engage", people(delete=""))
    until(lambda: "no such profile now" in page.text("#detail"))


def test_a_refused_update_stands_in_the_history_of_its_user(page: Page) -> None:
    post(page.server.mixpanel, "/engage", people(set={"plan": "pro"}), people(add={"credits": "ten"}))
    page.open("users")
    page.open_row("user-1")
    until(lambda: "refused" in page.text(".history"))
    assert page.server.mixpanel.state.updates.entries[1].reason in page.text(".history")


def test_a_request_shows_its_fault_and_its_answer(page: Page) -> None:
    page.server.mixpanel.fail_next(Status(503))
    post(page.server.mixpanel, "/track", event())
    page.open("requests")
    until(lambda: len(page.rows()) == 1)
    assert "503" in page.rows()[0]
    detail = page.open_row("POST /track")
    assert "Made to go wrong" in detail
    assert '"Signed Up"' in detail
    assert page.text("#count-faults") == "1"


def test_counters_tell_every_fate_and_what_was_let_go(browser: Chrome) -> None:
    mixpanel = LocalMixpanel(Settings(max_events=3, max_requests=2, max_bytes=1024 * 1024))
    with MixpanelServer(mixpanel) as server:
        page = Page(browser, server)
        page.look()
        page.open()
        assert "Keeps the newest 3 events, 10,000 updates, 2 requests and 10,000 profiles" in page.text("#kept")
        assert "1 MiB of each kind" in page.text("#kept")
        for number in range(5):
            post(mixpanel, "/track", event(f"Event {number}"))
        post(mixpanel, "/engage", people(set={"plan": "pro"}), {"$token": "token"})
        until(lambda: page.names() == ["Event 4", "Event 3", "Event 2"])
        assert page.text("#count-requests") == "6"
        assert page.text("#count-events").split("\n") == ["5", "5 stored", "0 refused", "0 dropped", "0 ignored"]
        assert page.text("#count-updates").split("\n")[:3] == ["2", "1 stored", "1 refused"]
        assert "Keeps the newest 3 events; 2 older ones were let go." in page.text("#kept")
        assert "Keeps the newest 2 requests; 4 older ones were let go." in page.text("#kept")
        assert "2 older ones were let go" in page.text("#end-text")
        assert "is not kept any more" in page.open_row("Event 2")
        browser.get("about:blank")


def test_a_paused_list_stands_still_until_it_goes_on(page: Page) -> None:
    post(page.server.mixpanel, "/track", event("Before"))
    page.open()
    until(lambda: page.names() == ["Before"])
    page.press("p")
    post(page.server.mixpanel, "/track", event("Meanwhile"))
    until(lambda: page.text("#count-requests") == "2" and page.text("#link") == "Paused, there is more")
    assert page.names() == ["Before"]
    page.click("#pause")
    until(lambda: page.names() == ["Meanwhile", "Before"])
    assert page.text("#link") == "Live"


def test_a_reset_asks_first_and_empties_the_page(page: Page) -> None:
    post(page.server.mixpanel, "/track", event("Before"), event("Before"))
    page.open()
    until(lambda: len(page.names()) == 2)
    page.click("#open-reset")
    page.press(Keys.ENTER)
    assert len(page.server.mixpanel.events()) == 2
    page.click("#open-reset")
    page.click("#do-reset")
    until(lambda: page.names() == [] and "Nothing has arrived yet" in page.text("#empty"))
    assert page.server.mixpanel.events() == ()
    # As many as before and of the same numbers, so that only the entries themselves tell the difference.
    post(page.server.mixpanel, "/track", event("After"), event("After"))
    until(lambda: page.names() == ["After", "After"])
    page.server.mixpanel.reset()
    post(page.server.mixpanel, "/track", event("Again"), event("Again"), event("Again"))
    until(lambda: page.names() == ["Again", "Again", "Again"])


def test_a_lost_connection_is_told_and_comes_back(browser: Chrome) -> None:
    with MixpanelServer() as first:
        page = Page(browser, first)
        page.look()
        post(first.mixpanel, "/track", event("Old"), event("Old"))
        page.open()
        until(lambda: len(page.names()) == 2)
    until(lambda: page.text("#link") == "Connection lost, trying again")
    assert page.names() == ["Old", "Old"]
    port = int(first.url.rpartition(":")[2])
    mixpanel = LocalMixpanel()
    for _ in range(3):
        post(mixpanel, "/track", event("New"))
    with MixpanelServer(mixpanel, port=port):
        until(lambda: page.text("#link") == "Live" and page.names() == ["New", "New", "New"])
        browser.get("about:blank")


def test_faults_are_scripted_from_the_page(page: Page) -> None:
    page.open()
    page.click("#open-faults")
    page.type("#fault-code", "99")
    page.click("#fault [type=submit]")
    until(lambda: "code must be an HTTP status" in page.text("#fault-told"))
    page.type("#fault-code", "429")
    page.type("#fault-retry", "2")
    page.type("#fault-times", "3")
    page.run("document.querySelector('#fault-endpoint').value = '/track'")
    page.click("#fault [type=submit]")
    until(lambda: page.server.mixpanel.state.scripts)
    (script,) = page.server.mixpanel.state.scripts
    assert (script.fault, script.times) == (Status(429, "2"), 3)
    until(lambda: "the next 3 requests to /track: status 429 with Retry-After 2" in page.text("#scripted"))
    assert post(page.server.mixpanel, "/track", event()).status == 429
    until(lambda: "the next 2 requests to /track" in page.text("#scripted"))
    page.click("#forget-faults")
    until(lambda: page.server.mixpanel.state.scripts == ())
    page.run("document.querySelector('#fault-kind').value = 'delay'")
    page.run("document.querySelector('#fault-kind').dispatchEvent(new Event('change'))")
    assert not page.find("#fault-code").is_displayed()
    page.type("#fault-seconds", "0.5")
    page.find("#fault-times").clear()
    page.click("#fault [type=submit]")
    until(lambda: page.server.mixpanel.state.scripts)
    assert [each.times for each in page.server.mixpanel.state.scripts] == [None]
    assert isinstance(page.server.mixpanel.state.scripts[0], Script)


def test_a_flood_leaves_the_newest_rows_and_the_rest_at_a_click(page: Page) -> None:
    page.open()
    for part in range(5):
        records = [event(f"Event {part * 1000 + number}", time=1) for number in range(1000)]
        post(page.server.mixpanel, "/import", *records)
    until(lambda: page.names()[:1] == ["Event 4999"])
    assert len(page.rows()) == 300
    until(lambda: "The newest 300 of 5,000 events are shown." in page.text("#end-text"))
    page.type("#filter-name", "event 77")
    until(lambda: "match" in page.text("#end-text"))
    page.click("#more")
    until(lambda: page.names() == [f"Event {number}" for number in (*range(779, 769, -1), 77)])
    page.find("#filter-name").clear()
    until(lambda: len(page.rows()) == 300)
    page.run("document.querySelector('#more').click()")
    until(lambda: len(page.rows()) == 600)


def test_the_row_that_is_read_stays_where_it_is(page: Page) -> None:
    post(page.server.mixpanel, "/track", *[event(f"Event {number}") for number in range(60)])
    page.open()
    until(lambda: len(page.rows()) == 60)
    page.run("document.querySelector('#browse').scrollTop = 600")
    where = "const row = [...document.querySelectorAll('.row')].find(row => row.innerText.includes('Event 30'));"
    before = page.run(where + "return row.getBoundingClientRect().top")
    post(page.server.mixpanel, "/track", *[event("Newer") for _ in range(7)])
    until(lambda: len(page.rows()) == 67)
    assert abs(page.run(where + "return row.getBoundingClientRect().top") - before) <= 1
    assert page.text("#newer") == "\u2191 7 new"
    page.click("#newer button")
    until(lambda: not page.find("#newer").is_displayed())
    assert page.run("return document.querySelector('#browse').scrollTop") == 0


def _fill(mixpanel: LocalMixpanel) -> None:
    names = ("Page Viewed", "Plan Upgraded", "Song Played", "Item Added to Cart", "Checkout Started", "Invoice Paid")
    now = int(time.time() * 1000)
    for at in range(18):
        given: dict[str, object] = {"plan": ("free", "pro")[at % 2], "amount": at * 7.25, "items": at % 4 + 1}
        when = {"time": now - at * 371, "$insert_id": f"id-{at}"}
        post(mixpanel, "/track?verbose=1&ip=0", event(names[at % 6], f"user-{at % 5 + 1}", **given, **when))
    cart = [{"sku": "A-1", "price": 9.5}, {"sku": "B-2", "price": 20}]
    post(mixpanel, "/track?verbose=1&ip=0", event("Cart Abandoned", "user-2", note="long " * 80, cart=cart, paid=False))
    post(mixpanel, "/track?verbose=1&ip=0", event("Debug Ping", "user-9", **{"$ignore": True}))
    post(mixpanel, "/import?strict=1", event("", "user-4", time=now, **{"$insert_id": "id"}))
    alias = {"distinct_id": "user-1", "alias": "user-1"}
    post(mixpanel, "/track?verbose=1&ip=0", {"event": "$create_alias", "properties": {"token": "token", **alias}})
    post(mixpanel, "/engage?verbose=1", people(set={"plan": "pro", "tags": ["a"]}), people(add={"plan": 2}), people())
    post(mixpanel, "/groups?verbose=1", group(set={"$name": "Acme", "seats": 12}))
    mixpanel.fail_next(Status(503))
    post(mixpanel, "/track?verbose=1&ip=0", event("Invoice Paid", "user-3"))


PLACES: Final = ("events", "users", "groups", "updates", "requests")

SIDEWAYS: Final = """
const wide = [...document.querySelectorAll("body *")].filter(each => each.checkVisibility()
  && !each.matches(".unseen, .unseen *, .skip") && each.getBoundingClientRect().right > innerWidth + 0.5
  && !each.closest(".row > span, td, .block, svg"));
return [document.documentElement.scrollWidth, wide.map(each => each.outerHTML.slice(0, 200))];
"""

SMALL: Final = """
return [...document.querySelectorAll("button, input, select, nav a, summary")].filter(each => each.checkVisibility())
  .map(each => [each.id || each.innerText, (each.closest("label") ?? each).getBoundingClientRect()])
  .filter(([, box]) => box.height < 44 && box.width > 0)
  .map(([name, box]) => `${name} ${box.width}x${box.height}`);
"""


def test_a_telephone_has_nothing_beside_the_screen_and_nothing_too_small_to_touch(page: Page) -> None:
    _fill(page.server.mixpanel)
    post(page.server.mixpanel, "/track", event("wide" * 300, "user" * 60, **{"property" * 30: "value" * 50}))
    page.look(width=360, height=740)
    page.open()
    for place in PLACES:
        page.go(place)
        until(
            lambda place=place: page.run("return document.querySelector('#list').dataset.view") == place and page.rows()
        )
        assert page.run(SIDEWAYS) == [360, []]
        page.open_row("")
        until(lambda: page.find("#detail h2").is_displayed())
        assert page.run(SIDEWAYS) == [360, []]
        assert page.run("return document.querySelector('#detail').scrollWidth") <= 360
        # The list is behind the details, and no Tab leads there.
        assert page.run("return document.querySelector('#browse').inert")
        page.press(Keys.ESCAPE)
        until(lambda: not page.find("#detail").is_displayed())
    page.go("events")
    page.click("#more-filters")
    assert page.find("#filter-user").is_displayed()
    assert page.run(SIDEWAYS) == [360, []]
    assert page.run(SMALL) == []
    page.click("#open-faults")
    assert page.run(SIDEWAYS) == [360, []]


CONTRASTS: Final = """
const rgb = text => text.match(/[\\d.]+/g).map(Number);
const light = ([red, green, blue]) => [red, green, blue].map(each => each / 255)
  .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
  .reduce((sum, each, at) => sum + each * [0.2126, 0.7152, 0.0722][at], 0);
const behind = element => {
  for (let each = element; each; each = each.parentElement) {
    const colour = rgb(getComputedStyle(each).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
};
return [...document.querySelectorAll("body *")]
  .filter(each => each.checkVisibility() && !each.matches("script, option, .unseen, .skip, input[type=radio]"))
  .filter(each => each.matches("input") || [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(each => {
    const [front, back] = [rgb(getComputedStyle(each).color), behind(each)].map(light);
    return [(Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05), each.outerHTML.slice(0, 120)];
  });
"""


def _pixels(png: bytes) -> tuple[int, int, int]:
    """
    Width, height, and how many lines of a picture differ from one another.
    """
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, packed, head = 8, b"", b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + length]
        head = data if kind == b"IHDR" else head
        packed += data if kind == b"IDAT" else b""
        at += 12 + length
    width, height, depth, colour = struct.unpack(">IIBB", head[:10])
    size = 1 + width * {2: 3, 6: 4}[colour] * depth // 8
    raw = zlib.decompress(packed)
    return width, height, len({raw[start : start + size] for start in range(0, len(raw), size)})


def test_light_dark_and_telephone_can_be_read_and_are_pictured(page: Page, tmp_path: Path) -> None:
    _fill(page.server.mixpanel)
    target = Path(os.environ.get("PAGE_SCREENSHOTS", tmp_path))
    grounds: set[str] = set()
    for name, width, height, scheme, opened in (
        ("light", 1280, 800, "light", "Cart Abandoned"),
        ("dark", 1280, 800, "dark", "no name"),
        ("phone", 360, 740, "light", None),
    ):
        page.look(width=width, height=height, scheme=scheme)
        page.open()
        until(lambda: len(page.rows()) == 22)
        if opened:
            page.open_row(opened)
        contrasts = page.run(CONTRASTS)
        assert len(contrasts) > 60
        assert min(contrasts)[0] >= 4.5, min(contrasts)
        grounds.add(page.run("return getComputedStyle(document.body).backgroundColor"))
        picture = target / f"page-{name}.png"
        assert page.browser.save_screenshot(str(picture))
        found = _pixels(picture.read_bytes())
        assert found[:2] == (width, height)
        assert found[2] > 50
    assert len(grounds) == 2


def test_what_comes_in_stays_text_and_nothing_leaves_the_server(page: Page) -> None:
    mixpanel = page.server.mixpanel
    post(mixpanel, "/track", event(HOSTILE, HOSTILE, **{HOSTILE: HOSTILE, "list": [HOSTILE, {HOSTILE: None}]}))
    # Characters that turn the text after them around are shown as what they are.
    names: dict[str, object] = {"__proto__": 1, "constructor": {}}
    post(mixpanel, "/track", event("turned \u202e around", "__proto__", **names))
    post(mixpanel, "/engage", people(HOSTILE, set={HOSTILE: HOSTILE}), {"$token": "token", "$set": HOSTILE}, HOSTILE)
    post(mixpanel, "/groups", {"$token": "token", "$group_key": HOSTILE, "$group_id": HOSTILE, "$set": {"a": HOSTILE}})
    page.open()
    until(lambda: len(page.rows()) == 2)
    assert HOSTILE in page.open_row("onerror").split("\n")[0]
    page.open_row("turned")
    assert page.text("#detail h2") == "turned \\u202e around"
    for place in PLACES:
        page.go(place)
        until(
            lambda place=place: page.run("return document.querySelector('#list').dataset.view") == place and page.rows()
        )
        for at in range(len(page.rows())):
            page.run("document.querySelectorAll('.row')[arguments[0]].click()", at)
            until(lambda: page.find("#detail h2").is_displayed() and "Looking" not in page.text("#detail"))
            page.run("document.querySelectorAll('#detail details').forEach(each => { each.open = true })")
    assert page.run("return [document.title, document.querySelectorAll('img, body script').length]") == [
        "mixwire emulator",
        1,
    ]
    asked = page.run("return performance.getEntriesByType('resource').map(each => each.name)")
    assert len(asked) > 5
    assert [each for each in asked if not each.startswith((f"{page.server.url}/", "data:"))] == []
    assert page.complaints() == []
