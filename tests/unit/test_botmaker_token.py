"""Tests that the token, which Botmaker may repeat in any spelling and place, is never stored, logged or raised."""

import base64
import json
import logging
import random
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from orchestration.botmaker.client import CHANNELS, TRIES, BotmakerRefusedError
from orchestration.botmaker.token import REDACTED, Token
from orchestration.errors import StartsError
from tests.botmaker_server import TOKEN, Fault
from tests.botmaker_site import Botmaker, add_sessions, botmaker_site

# Characters that URLs and JSON escape, and for which base64 has two alphabets.
ODD_TOKEN = 'a/B+c="d\\e&f?g>~~~/%20%zz'

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "lower case": str.lower,
    "upper case": str.upper,
    "in a URL": lambda token: quote(token, safe=""),
    "in a URL, lower case": lambda token: quote(token, safe="").lower(),
    "in a URL in a URL": lambda token: quote(quote(token, safe=""), safe=""),
    "every character in a URL": lambda token: "".join(f"%{ord(character):02X}" for character in token),
    "in JSON": lambda token: json.dumps(token)[1:-1],
    "in JSON, with slashes": lambda token: json.dumps(token)[1:-1].replace("/", "\\/"),
    "in JSON in JSON": lambda token: json.dumps(json.dumps(token)[1:-1])[1:-1],
    "in a URL, four times": lambda token: quote(quote(quote(quote(token, safe=""), safe=""), safe=""), safe=""),
    "every character in JSON in JSON in JSON in JSON": lambda token: "".join("\\" * 8 + f"u{ord(character):04x}" for character in token),
    "every character in JSON": lambda token: "".join(f"\\u{ord(character):04x}" for character in token),
    "every second character": lambda token: "".join(
        character if number % 2 else f"%{ord(character):02x}" for number, character in enumerate(token)
    ),
    "base64": lambda token: base64.b64encode(token.encode()).decode(),
    "base64 of two": lambda token: base64.b64encode(f"user:{token}".encode()).decode(),
    "base64 of three": lambda token: base64.b64encode(f"a {token} z".encode()).decode(),
    "base64 of four": lambda token: base64.b64encode(f"abc{token}".encode()).decode(),
    "base64 for URLs": lambda token: base64.urlsafe_b64encode(f"~~{token}~".encode()).decode(),
    "base64 in a URL": lambda token: quote(base64.b64encode(f">{token}>".encode()).decode(), safe=""),
}


@pytest.fixture
def botmaker(tmp_path: Path) -> Iterator[Botmaker]:
    with botmaker_site(tmp_path) as site:
        yield site


def holds(text: bytes | str, token: str = TOKEN) -> bool:
    """Return whether a text contains a recognizable part of the token in one of the spellings, in any case."""
    lower = (text if isinstance(text, bytes) else text.encode(errors="surrogatepass")).lower()
    # The first and last characters of base64 also encode bits of the text around the token.
    spelt = [spell(token).lower()[4:-5] for spell in SPELLINGS.values()]
    return any(part.encode() in lower for part in spelt)


@pytest.mark.parametrize("token", [TOKEN, ODD_TOKEN])
@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_redacted(name: str, token: str) -> None:
    spelt = SPELLINGS[name](token)
    for before, after in (("", ""), ("é <", ">"), ('{"a": "', '"}'), ("x=", "&y"), ("\ud83d", "\\")):
        assert holds(before + spelt + after, token)
        clean = Token(token).redact(before + spelt + after)
        assert REDACTED in clean
        assert not holds(clean, token)
        if not name.startswith("base64"):
            assert clean == before + REDACTED + after


def test_short_token_is_redacted_except_in_base64() -> None:
    assert Token("short").redact("SHORT sh%6Frt c2hvcnQ=") == f"{REDACTED} {REDACTED} c2hvcnQ="
    assert Token("a").redact("AGE=") == f"{REDACTED}GE="
    # Six characters have eight of their own in base64.
    assert Token("sixsix").redact(base64.b64encode(b"sixsix").decode()) == REDACTED


def test_all_other_text_stays_unchanged() -> None:
    noise = random.Random(3)
    token = Token(TOKEN)
    near = [TOKEN[:-1], TOKEN[1:], TOKEN[::-1], TOKEN.replace(".", ""), base64.b64encode(TOKEN[5:].encode()).decode()[:-3]]
    bodies = [noise.randbytes(1000), b"\\" * 1000, b"%" * 1000, b"%25" * 1000, b"e" * 1000, *(text.encode() for text in near)]
    for body in bodies:
        assert token.redact_bytes(body) is body


def test_redaction_of_adversarial_bodies_is_fast() -> None:
    token, start = Token(TOKEN), time.process_time()
    # With the token in the body, so that redaction cannot stop early.
    for body in (b"\\" * 400_000, b"e\\" * 200_000, b"%25" * 150_000, TOKEN[:-1].encode() * 5_000):
        assert token.redact_bytes(body + TOKEN.encode()) == body + REDACTED.encode()
    assert time.process_time() - start < 10


@pytest.mark.parametrize("name", SPELLINGS)
def test_next_page_with_the_token_is_followed_unchanged_and_stored_without_it(
    botmaker: Botmaker, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ids = add_sessions(botmaker.server, 5)
    spelt = SPELLINGS[name](TOKEN)
    # The server cannot read back characters that a query does not allow unescaped, or that JSON escapes.
    botmaker.server.next_page_extra = {"key": spelt} if "%" not in spelt and "\\" not in spelt else {}
    if not botmaker.server.next_page_extra:
        botmaker.server.sessions[0]["echo"] = spelt
    botmaker.server.sessions[1]["events"] = [{"text": f"key={TOKEN}"}]
    botmaker.fetch("sessions")
    assert botmaker.ids() == ids
    pages = botmaker.pages("sessions")
    assert REDACTED.encode() in b"".join(pages.values())
    assert not any(holds(body) for body in pages.values())
    assert not holds("\n".join(botmaker.said) + caplog.text)


def test_stored_address_without_its_token_restarts_the_window(botmaker: Botmaker) -> None:
    ids = add_sessions(botmaker.server, 5)
    botmaker.server.next_page_extra = {"access-token": TOKEN}
    botmaker.server.instead = lambda path, query: (401, {}) if "@4" in query.get("cursor", "") else None
    with pytest.raises(StartsError, match="HTTP 401"):
        botmaker.fetch("sessions")
    botmaker.server.instead = lambda path, query: None
    botmaker.fetch("sessions")
    pages = botmaker.pages("sessions")
    assert [item["id"] for name, body in pages.items() if "_2/" in name for item in json.loads(body)["items"]] == ids
    assert any("contained the token, which is not stored; restarting that period" in line for line in botmaker.said)
    assert not any(holds(body) for body in pages.values())


@pytest.mark.parametrize("feed", ["channels", "whatsapp_templates", "sent_results"])
def test_every_feed_is_stored_without_the_token(botmaker: Botmaker, feed: str) -> None:
    botmaker.server.channels = botmaker.server.templates = [{"id": TOKEN, "name": base64.b64encode(TOKEN.encode()).decode()}]
    botmaker.server.add_notification(TOKEN.replace(".", "-"), "2026-11-06T10:00:00Z", None, {"customerId": TOKEN})
    botmaker.server.add_notification(TOKEN, "2026-11-06T10:00:00Z", None, {"customerId": "c"})
    botmaker.fetch(feed)
    assert not any(holds(name) or holds(body) for name, body in botmaker.pages("").items())
    assert REDACTED.encode() in b"".join(botmaker.pages("").values())
    assert not holds("\n".join(botmaker.said))


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", SPELLINGS)
def test_no_message_contains_the_token(botmaker: Botmaker, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    spelt = SPELLINGS[name](TOKEN)
    error = json.dumps({"errors": [{"message": f"no {spelt} here\n\x1b[31m \ud83d {'x' * 1000}"}]}).encode()
    header = b"HTTP/1.1 200 OK\r\nX y: %b\r\nContent-Length: 2\r\n\r\n{}" % spelt.encode()
    page = '{"items": [], "nextPage": "%s"}'
    faults = [
        [Fault("status", status=400, body=error)],
        [Fault("status", status=302, headers={"location": f"https://{spelt}/"})] * TRIES,
        [Fault("status", status=302, headers={"location": f"http://[{spelt}"})] * TRIES,
        [Fault("raw", body=spelt.encode(), headers={"content-type": f"text/{spelt}"})] * TRIES,
        [Fault("wire", body=header)] * TRIES,
        [Fault("wire", body=spelt.encode())] * TRIES,
        [Fault("raw", body=(page % f"https://{spelt}/x").encode())],
        [Fault("raw", body=(page % spelt).encode())],
    ]
    for fault in faults:
        botmaker.server.fail(*fault)
        with pytest.raises(StartsError) as caught:
            botmaker.fetch("channels")
        shown = "".join(traceback.format_exception(caught.value))
        assert not holds(shown)
        assert str(caught.value).replace("é", "").isprintable()
        assert len(str(caught.value)) < 1000
        assert botmaker.server.forget_faults() < len(fault)
    assert not holds("\n".join(botmaker.said) + caplog.text)
    assert all(line.isprintable() for line in botmaker.said)


def test_host_of_a_next_page_is_shown_without_the_token(botmaker: Botmaker) -> None:
    with botmaker.client() as client:
        for address in (f"https://{TOKEN}.example.com/", f"https://x.{TOKEN.upper()}/y"):
            with pytest.raises(BotmakerRefusedError, match=r"leads to .*\*\*\*.*not sent there") as caught:
                client.next_page(CHANNELS, address)
            assert not holds(str(caught.value))
        with pytest.raises(BotmakerRefusedError, match=r"leads to x{253}, not to .*not sent there"):
            client.next_page(CHANNELS, f"https://{'x' * 10_000}/")
