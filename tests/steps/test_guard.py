"""Only the public internet is called, however an address is written or reached."""

import ipaddress

import pytest

from ripresa import InvalidConfig, RipresaError, StepError, is_retryable
from ripresa.steps import Request, http
from ripresa.steps.guard import Guard, bad_stand_ins, guard_of, is_public
from ripresa.steps.transport import client
from tests.steps.service import Answer, Asked, service

INSIDE = [
    "127.0.0.1", "127.8.9.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0",
    "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "203.0.113.7",
    "::1", "::", "fe80::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
    "::127.0.0.1", "2002:7f00:1::", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2001:0:a00:1::", "100::1",
    "::ffff:0:7f00:1", "1::1", "4000::1",
]  # fmt: skip
OUTSIDE = ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", INSIDE)
def test_an_address_that_is_not_public_is_seen(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", OUTSIDE)
def test_a_public_address_is_let_through(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "LOCALHOST", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0x7f.1", "0",
        "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "169.254.169.254", "[fd00:ec2::254]", "127。0。0。1",
    ],
)  # fmt: skip
async def test_no_way_to_write_this_machine_gets_there(host: str) -> None:
    async with service(lambda asked: Answer(200, "secret")) as inside:
        with pytest.raises(RipresaError) as caught:
            await http("GET")(Request(url=f"http://{host}:{inside.port}/"))
        assert caught.value.code == ("invalid_input" if host == "0177.0.0.1" else "address_refused")
        assert not is_retryable(caught.value)
        assert inside.asked == []


async def test_a_redirect_into_the_inside_is_refused() -> None:
    async with service(lambda asked: Answer(200, "secret")) as inside:

        def lead(asked: Asked) -> Answer:
            return Answer(302, headers={"location": f"http://localhost:{inside.port}/admin"})

        async with service(lead) as outside:
            with pytest.raises(StepError, match="is at") as caught:
                await http("GET", outside.url, allow=[outside.place])()
        assert caught.value.code == "address_refused"
        assert inside.asked == []


async def test_a_name_is_resolved_once_and_the_connection_goes_where_it_was_checked() -> None:
    answers = [["127.0.0.1"], ["10.0.0.1"]]

    async def rebinding(host: str, port: int) -> list[str]:
        return answers.pop(0)

    async with service(lambda asked: Answer(200, asked.headers["host"])) as found:
        guard = Guard(guard_of(["127.0.0.1"]).allowed, rebinding)
        async with client(guard, 5) as opened:
            answer = await opened.get(f"http://rebound.example:{found.port}/")
            assert answer.text == f"rebound.example:{found.port}"
            assert len(answers) == 1
            with pytest.raises(StepError, match=r"10\.0\.0\.1"):
                await opened.get(f"http://rebound.example:{found.port}/")


async def test_a_name_with_one_foot_inside_is_refused() -> None:
    async def both(host: str, port: int) -> list[str]:
        return ["8.8.8.8", "fe80::1%eth0"]

    with pytest.raises(StepError) as caught:
        await Guard(resolve=both).addresses("two.example", 80)
    assert caught.value.code == "address_refused"


async def test_the_next_address_is_tried_where_nobody_answers() -> None:
    async def two(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async def none(host: str, port: int) -> list[str]:
        return []

    async with service(lambda asked: Answer(200, "here")) as found:
        async with client(Guard(guard_of(["127.0.0.0/8"]).allowed, two), 5) as opened:
            assert (await opened.get(f"http://two.example:{found.port}/")).text == "here"
        async with client(Guard(resolve=none), 5) as opened:
            with pytest.raises(StepError, match="has no address"):
                await opened.get("http://none.example/")


async def test_a_name_that_nobody_knows_may_be_known_later() -> None:
    with pytest.raises(StepError, match="cannot be resolved") as caught:
        await Guard().addresses("no-such-host.invalid", 80)
    assert (caught.value.code, caught.value.retryable) == ("http_failed", True)


@pytest.mark.parametrize(
    ("allow", "host", "port", "good"),
    [
        ("127.0.0.1", "127.0.0.1", 80, True),
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1:8080", "127.0.0.1", 80, False),
        ("127.0.0.0/8", "127.9.9.9", 1, True),
        ("10.0.0.0/8", "127.0.0.1", 1, False),
        ("localhost", "localhost", 80, True),
        ("Localhost:81", "localhost", 81, True),
        ("localhost", "127.0.0.1", 80, False),
        ("[::1]:80", "::1", 80, True),
        ("::1", "::1", 80, True),
        ("::1", "127.0.0.1", 80, False),
    ],
)
async def test_what_is_allowed_is_allowed_by_host_network_and_port(
    allow: str, host: str, port: int, good: bool
) -> None:
    guard = guard_of([allow])
    if good:
        assert await guard.addresses(host, port)
    else:
        with pytest.raises(StepError):
            await guard.addresses(host, port)


@pytest.mark.parametrize("bad", ["", "http://x", "10.0.0.0/99", "*.example.com", "a b", "host:port", 3, "1::2::3"])
def test_what_cannot_be_allowed_is_refused_when_the_step_is_made(bad: str) -> None:
    with pytest.raises(InvalidConfig, match="allow"):
        http("GET", "https://example.com", allow=[bad])


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with service(lambda asked: Answer(200, "direct")) as found, service(lambda asked: Answer(200)) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await http("GET", found.url, allow=[found.place])()).body == "direct"
        assert proxy.asked == []


@pytest.mark.parametrize(
    "given",
    [
        3,
        {"https://a.b": 3},
        {"https://a.b/c": "http://127.0.0.1"},
        {"https://a.b": "http://127.0.0.1?x"},
        {"a.b": "http://127.0.0.1"},
    ],
)
def test_what_stands_in_for_others_is_checked(given: object) -> None:
    assert str(bad_stand_ins(given)).startswith("stand_ins")


def test_an_origin_is_answered_by_what_stands_in_for_it() -> None:
    guard = guard_of([], {"https://Api.example.com/": "http://127.0.0.1:8080/api/"})
    assert guard.answering("https://api.example.com") == "http://127.0.0.1:8080/api"
    assert guard.answering("http://api.example.com") == ""
    assert bad_stand_ins({"https://api.example.com": "http://127.0.0.1:8080/api"}) is None
