import copy
import pickle
import traceback

import attrs
import orjson
import pytest
from attrs.exceptions import FrozenInstanceError

from mixwire.core.errors import InvalidValue
from mixwire.core.project import SERVERS, Project, ProjectSecret, ServiceAccount, server_url

CANARY = f"canary-{6 * 7}"
FORMS = "'us', 'eu', 'in', https://host[:port], or http://host[:port] on loopback"
GOOD = {"username": "robot", "secret": "s3cret", "project_id": "17"}
SECRETS = {
    "token": Project,
    "username": lambda text: ServiceAccount(**GOOD | {"username": text}),
    "secret": lambda text: ServiceAccount(**GOOD | {"secret": text}),
    "project secret": ProjectSecret,
}
each_secret = pytest.mark.parametrize("name", SECRETS)


def refuse(*_, **__):
    raise AssertionError("a caller's method was called")


def hostile(base, *args):
    names = """
        __str__ __repr__ __format__ __eq__ __ne__ __len__ __bool__ __iter__ __contains__ __getitem__ __int__
        isascii isprintable isspace isdigit lower split
    """.split()
    return type("Hostile", (base,), dict.fromkeys(names, refuse) | {"__module__": __name__})(*args)


HOSTILE = f"{__name__}.Hostile"


def refusal(make, *args, **more):
    with pytest.raises(InvalidValue) as caught:
        make(*args, **more)
    return caught.value


# Server


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("us", "https://api.mixpanel.com"),
        ("eu", "https://api-eu.mixpanel.com"),
        ("in", "https://api-in.mixpanel.com"),
    ],
    ids=["us", "eu", "in"],
)
def test_r2_a_residency_is_one_server(server, url):
    assert server_url(server) == Project("TOKEN", server=server).server == url
    assert {"us", "eu", "in"} == {*SERVERS}


@pytest.mark.parametrize("server", ["us", "eu", "in"])
def test_r2_a_residency_is_taken_in_any_case(server):
    assert {server_url(each) for each in (server.upper(), server.title(), server)} == {SERVERS[server]}


@pytest.mark.parametrize(
    ("server", "name"),
    [
        ("api.mixpanel.com", "us"),
        ("data.mixpanel.com", "us"),
        ("api-eu.mixpanel.com", "eu"),
        ("API-EU.mixpanel.com", "eu"),
        ("eu.mixpanel.com", "eu"),
        ("data-in.mixpanel.com:443", "in"),
        ("api-in.mixpanel.com/", "in"),
        ("https://api-eu.mixpanel.com/track", "eu"),
        ("http://api-in.mixpanel.com//", "in"),
    ],
)
def test_a_host_of_mixpanel_is_refused_with_the_name_of_its_residency(server, name):
    assert str(refusal(server_url, server)) == f"server must be {FORMS}, not another form (perhaps {name!r})"


def test_r2_a_project_is_in_the_united_states_unless_it_says_otherwise():
    assert Project("TOKEN").server == "https://api.mixpanel.com"


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("https://proxy.example.com", "https://proxy.example.com"),
        ("https://proxy.example.com/", "https://proxy.example.com"),
        ("https://Proxy.Example.COM:0443", "https://proxy.example.com:443"),
        ("https://proxy:65535", "https://proxy:65535"),
        ("https://192.0.2.1:1", "https://192.0.2.1:1"),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://127.8.9.10:1/", "http://127.8.9.10:1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
    ids="host slash case last-port v4 v6 punycode localhost loopback loopback-net loopback-v6".split(),
)
def test_a_server_may_be_a_base_url(server, url):
    assert server_url(server) == Project("TOKEN", server=server).server == url
    assert server_url(url) == url


@pytest.mark.parametrize(
    "server",
    [
        "",
        "usa",
        " us",
        "EU ",
        "proxy.example.com",
        "//api.mixpanel.com",
        "ftp://api.mixpanel.com",
        "https://",
        "https://user:password@api.mixpanel.com",
        "https://api.mixpanel.com@evil.example",
        "https://proxy.example.com/track",
        "https://proxy.example.com//",
        "api-js.mixpanel.com",
        "me:api-eu.mixpanel.com",
        "api-eu.mixpanel.com.example",
        "https://api.mixpanel.com#evil.example",
        "https://api.mixpanel.com?a=b",
        "https://api.mixpanel.com\\evil.example",
        "https://api.mixpanel.com:",
        "https://api.mixpanel.com:port",
        "https://api.mixpanel.com:123456",
        "https://api.mixpanel.com:-1",
        "https://api.mixpanel.com:\u0664\u0664\u0663",
        "https://api.mixpanel.com\n",
        "https://api.mixpanel.com\r\nHost: evil.example",
        "https://api.mixpanel.com\x00",
        "https://api mixpanel.com",
        "https://bücher.example",
        "https://\u0430pi.mixpanel.com",
        "https://api。mixpanel。com",
        "https://api.mixpanel.com\u200b",
        "https://ⓐpi.mixpanel.com",
        "https://api%2emixpanel.com",
        "https://api_eu.mixpanel.com",
        "https://[::1%eth0]",
        "https://[evil.example]",
    ],
    ids="""
    empty word blank blank-after bare no-scheme ftp no-host userinfo userinfo-trick path slashes other-host user
    other-domain fragment query backslash no-port port-name long-port negative-port arabic-port newline header NUL
    space umlaut cyrillic wide-dot zero-width circled percent underscore zone name-in-brackets
    """.split(),
)
def test_row_85_row_86_any_other_server_is_refused(server):
    fault = refusal(server_url, server)
    assert fault.path == "server"
    assert str(fault) == f"server must be {FORMS}, not another form"
    assert refusal(Project, "TOKEN", server=server).path == "server"


@pytest.mark.parametrize("port", ["0", "00000", "65536", "99999"])
def test_row_86_a_port_that_cannot_be_is_refused(port):
    fault = refusal(server_url, f"https://api.mixpanel.com:{port}")
    assert fault.path == "server"
    assert str(fault) == "server must be a URL with a port from 1 to 65535, not one outside"


@pytest.mark.parametrize(
    "host",
    [".", "a..b", ".example.com", "example.com.", "-a.example", "a-.example", "a" * 64 + ".example", "-"],
    ids="dot two-dots leading-dot trailing-dot leading-hyphen trailing-hyphen long-label hyphen".split(),
)
def test_row_86_a_host_that_cannot_be_is_refused(host):
    fault = refusal(server_url, f"https://{host}")
    assert fault.path == "server"
    assert str(fault) == "server must be a URL with the name of a host, not one with an impossible name"


@pytest.mark.parametrize(
    "server",
    [
        "http://api.mixpanel.com",
        "http://192.0.2.1",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
        "http://127.1",
        "http://1270.0.0.1",
        "http://0.0.0.0",
        "http://[::2]",
        "http://[::ffff:127]",
        "http://evil.example:80/",
    ],
)
def test_row_86_r1_plain_http_is_refused_but_to_loopback(server):
    fault = refusal(server_url, server)
    assert fault.path == "server"
    assert str(fault) == "server must be an https:// URL (plain http only to loopback), not plain http to another host"


@pytest.mark.parametrize(
    ("server", "kind"),
    [(None, "None"), (b"us", "bytes"), (["us"], "list"), (hostile(str, "us"), HOSTILE), (hostile(object), HOSTILE)],
    ids="None bytes list str-subclass object".split(),
)
def test_row_82_a_server_of_another_type_is_refused_without_a_call(server, kind):
    fault = refusal(server_url, server)
    assert fault.path == "server"
    assert str(fault) == f"server must be {FORMS}, not {kind}"


# Tokens and secrets


@each_secret
@pytest.mark.parametrize(
    "text", ["a", "0123456789abcdef0123456789abcdef", "~!@#$%^&*()_+'\"\\/"], ids="short hex odd".split()
)
def test_printable_ascii_is_a_token_a_user_or_a_secret(name, text):
    made = SECRETS[name](text)
    assert getattr(made, name.removeprefix("project ")) == text


@each_secret
@pytest.mark.parametrize(
    "harm",
    ["\r\n", "\n", "\r", "\x00", "\x7f", "\t", " ", "é", "\u200b", "\ufeff", "\ud800", "\U0001f600"],
    ids="CRLF LF CR NUL DEL tab space accent zero-width BOM surrogate emoji".split(),
)
def test_row_85_any_other_character_is_refused_and_nothing_is_repeated(name, harm):
    for text in (f"{CANARY}{harm}", f"{harm}{CANARY}", f"{CANARY}{harm}Evil: {CANARY}"):
        fault = refusal(SECRETS[name], text)
        path = name.removeprefix("project ")
        assert fault.path == path
        assert str(fault) == f"{path} must be printable ASCII without spaces, not with other characters"
        assert CANARY not in "".join([*traceback.format_exception(fault), repr(fault), repr(fault.__context__)])


@each_secret
@pytest.mark.parametrize("text", ["", "  ", "\r\n"], ids=["empty", "spaces", "line-break"])
def test_row_85_r104_a_blank_one_is_refused(name, text):
    path = name.removeprefix("project ")
    fault = refusal(SECRETS[name], text)
    assert fault.path == path
    assert str(fault) == f"{path} must be printable ASCII without spaces, not empty"


@each_secret
@pytest.mark.parametrize(
    ("text", "kind"),
    [(None, "None"), (17, "int"), (b"a", "bytes"), (hostile(str, "a"), HOSTILE), (hostile(object), HOSTILE)],
    ids="None int bytes str-subclass object".split(),
)
def test_row_82_r104_one_of_another_type_is_refused_without_a_call(name, text, kind):
    path = name.removeprefix("project ")
    fault = refusal(SECRETS[name], text)
    assert fault.path == path
    assert str(fault) == f"{path} must be a str, not {kind}"


def test_r104_a_project_without_a_token_is_refused():
    with pytest.raises(TypeError, match="token"):
        Project()


def test_row_85_a_user_name_with_a_colon_is_refused():
    fault = refusal(SECRETS["username"], f"{CANARY}:x")
    assert fault.path == "username"
    assert str(fault) == "username must be without a colon, which ends it in the header, not with one"


# Credentials


@pytest.mark.parametrize("left_out", ["username", "secret", "project_id"])
def test_r17_a_service_account_cannot_be_made_without_its_project_or_another_part(left_out):
    with pytest.raises(TypeError, match=left_out):
        ServiceAccount(**{name: value for name, value in GOOD.items() if name != left_out})


@pytest.mark.parametrize(("given", "kept"), [("17", "17"), (17, "17"), ("017", "017")], ids=["str", "int", "zero"])
def test_r17_a_service_account_knows_its_project(given, kept):
    assert ServiceAccount(**GOOD | {"project_id": given}).project_id == kept


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", "something else"),
        ("seventeen", "something else"),
        ("1 7", "something else"),
        ("17\n", "something else"),
        ("17&project_id=18", "something else"),
        ("\u0661\u0667", "something else"),
        ("²", "something else"),
        (-17, "something else"),
        (None, "None"),
        (True, "bool"),
        (17.0, "float"),
        (hostile(str, "17"), HOSTILE),
        (hostile(int, 17), HOSTILE),
    ],
    ids="empty words space newline query arabic superscript negative None bool float str-subclass int-subclass".split(),
)
def test_row_82_row_85_r17_a_project_id_is_a_number(given, found):
    fault = refusal(ServiceAccount, **GOOD | {"project_id": given})
    assert fault.path == "project_id"
    assert str(fault) == f"project_id must be the number of the project, not {found}"


def test_row_84_r17_a_project_id_that_python_will_not_print_is_refused():
    assert refusal(ServiceAccount, **GOOD | {"project_id": 10**5_000}).path == "project_id"


def test_r20_a_project_secret_and_a_token_have_no_project_id():
    assert [each.name for each in attrs.fields(ProjectSecret)] == ["secret"]
    with pytest.raises(TypeError, match="project_id"):
        ProjectSecret("s3cret", project_id="17")
    assert "project_id" not in [each.name for each in attrs.fields(Project)]
    with pytest.raises(TypeError, match="project_id"):
        Project("TOKEN", project_id="17")


@pytest.mark.parametrize(
    "credentials", [None, ServiceAccount(**GOOD), ProjectSecret("s3cret")], ids=["none", "account", "secret"]
)
def test_credentials_are_kept(credentials):
    assert Project("TOKEN", credentials=credentials).credentials is credentials


@pytest.mark.parametrize(
    ("credentials", "kind"),
    [
        ("s3cret", "str"),
        (("robot", "s3cret"), "tuple"),
        (GOOD, "dict"),
        (ServiceAccount, "type"),
        (hostile(object), HOSTILE),
        (hostile(ProjectSecret, "s3cret"), HOSTILE),
    ],
    ids="str tuple dict class object subclass".split(),
)
def test_row_82_row_89_other_credentials_are_refused_without_a_call(credentials, kind):
    fault = refusal(Project, "TOKEN", credentials=credentials)
    assert fault.path == "credentials"
    assert str(fault) == f"credentials must be ServiceAccount(...), ProjectSecret(...) or None, not {kind}"


# Choices


@pytest.mark.parametrize(
    ("name", "choices", "default"),
    [("events", ["track", "import"], "track"), ("limits", ["strict", "warn", "off"], "warn")],
    ids=["events", "limits"],
)
def test_a_choice_is_one_of_its_names(name, choices, default):
    assert getattr(Project("TOKEN"), name) == default
    assert [getattr(Project("TOKEN", **{name: each}), name) for each in choices] == choices
    for other in ("", "o", "all", "w", None, 0, ["track"]):
        fault = refusal(Project, "TOKEN", **{name: other})
        assert fault.path == name
        assert str(fault) == f"{name} must be one of {', '.join(map(repr, choices))}, not another value"


@pytest.mark.parametrize(
    ("name", "other", "nearest"),
    [
        ("events", "imports", "import"),
        ("events", "Track", "track"),
        ("limits", "strickt", "strict"),
        ("limits", "WARN", "warn"),
        ("limits", "of", "off"),
    ],
)
def test_a_choice_that_begins_as_one_does_is_refused_with_it(name, other, nearest):
    assert str(refusal(Project, "TOKEN", **{name: other})).endswith(f", not another value (perhaps {nearest!r})")


@pytest.mark.parametrize(("name", "choice"), [("events", "track"), ("limits", "warn")], ids=["events", "limits"])
@pytest.mark.parametrize("base", [object, str], ids=["object", "str"])
def test_row_82_a_choice_of_a_callers_class_is_refused_without_a_call(name, choice, base):
    value = hostile(base, *([choice] if base is str else []))
    assert refusal(Project, "TOKEN", **{name: value}).path == name


def test_a_str_subclass_that_equals_everything_is_no_choice():
    liar = type("Liar", (str,), {"__eq__": lambda *_: True, "__hash__": str.__hash__})("anything")
    assert refusal(Project, "TOKEN", events=liar).path == "events"


def test_the_address_of_the_request_is_used_only_if_asked_for():
    assert Project("TOKEN").use_request_ip is False
    assert Project("TOKEN", use_request_ip=True).use_request_ip is True


@pytest.mark.parametrize(
    ("given", "kind"),
    [(1, "int"), ("yes", "str"), (None, "None"), (hostile(int, 1), HOSTILE)],
    ids=["int", "str", "None", "subclass"],
)
def test_row_82_another_flag_is_refused_without_a_call(given, kind):
    fault = refusal(Project, "TOKEN", use_request_ip=given)
    assert fault.path == "use_request_ip"
    assert str(fault) == f"use_request_ip must be True or False, not {kind}"


# Values

MADE = [
    Project("TOKEN"),
    Project(
        "TOKEN", server="eu", credentials=ServiceAccount(**GOOD), events="import", limits="off", use_request_ip=True
    ),
    ServiceAccount(**GOOD),
    ProjectSecret("s3cret"),
]
each_made = pytest.mark.parametrize("made", MADE, ids=["project", "whole project", "account", "secret"])


@each_made
def test_no_field_of_it_can_be_set(made):
    for each in attrs.fields(type(made)):
        with pytest.raises(FrozenInstanceError):
            setattr(made, each.name, "other")


@each_made
def test_a_copy_is_equal_and_hashes_alike(made):
    for twin in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made)), attrs.evolve(made)):
        assert twin == made
        assert hash(twin) == hash(made)
        assert attrs.asdict(twin) == attrs.asdict(made)
    assert len({*MADE}) == len(MADE)


def test_an_evolved_project_keeps_its_other_fields():
    evolved = attrs.evolve(MADE[1], token="OTHER")
    assert evolved.event_tail == b',"token":"OTHER"}}'
    assert attrs.evolve(evolved, token="TOKEN") == MADE[1]


@pytest.mark.parametrize("token", ["TOKEN", '"\\/'], ids=["plain", "quotes"])
def test_the_end_of_every_event_holds_the_token(token):
    assert orjson.loads(b'{"a":{"b":1' + Project(token).event_tail) == {"a": {"b": 1, "token": token}}


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r:>9}".format], ids=["repr", "str", "format", "padded"])
def test_row_89_no_token_and_no_secret_is_ever_shown(show):
    account = ServiceAccount(username="robot", secret=CANARY, project_id=17)
    for made in (
        account,
        ProjectSecret(CANARY),
        Project(CANARY),
        Project(CANARY, credentials=account),
        Project(CANARY, credentials=ProjectSecret(CANARY)),
    ):
        assert CANARY not in show(made)
        assert "***" in show(made)


def test_the_repr_shows_what_is_no_secret():
    assert repr(MADE[1]) == (
        "Project(token='***', server='https://api-eu.mixpanel.com', credentials=ServiceAccount(username='robot', "
        "secret='***', project_id='17'), events='import', limits='off', use_request_ip=True)"
    )


@pytest.mark.parametrize(
    "leak",
    [
        lambda: server_url(f"https://user:{CANARY}@api.mixpanel.com"),
        lambda: server_url(f"http://{CANARY}.example"),
        lambda: server_url(f"https://-{CANARY}"),
        lambda: server_url(f"https://{CANARY}:0"),
        lambda: Project("TOKEN", server=[CANARY]),
        lambda: Project("TOKEN", credentials=CANARY),
        lambda: Project(CANARY, events=CANARY),
        lambda: Project(CANARY, limits=CANARY),
        lambda: Project(CANARY, use_request_ip=CANARY),
        lambda: Project([CANARY]),
        lambda: ServiceAccount(**GOOD | {"project_id": CANARY}),
        lambda: ServiceAccount(username=f"{CANARY}:", secret=CANARY, project_id="17"),
    ],
    ids="""
    userinfo http host port server-list credentials events limits flag token-list project_id username
    """.split(),
)
def test_row_89_what_was_refused_is_in_no_sentence_and_no_traceback(leak):
    fault = refusal(leak)
    told = [*traceback.format_exception(fault), repr(fault), repr(fault.args)]
    assert CANARY not in "".join([*told, repr(fault.__cause__), repr(fault.__context__)])


@pytest.mark.parametrize("make", [Project, ProjectSecret], ids=["token", "project secret"])
def test_what_becomes_a_user_name_holds_no_colon(make):
    with pytest.raises(InvalidValue, match="must be without a colon, which ends it in the header, not with one"):
        make("canary:1")
