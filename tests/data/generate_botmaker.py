"""Generate realistic pages of Botmaker's API, the same bytes every time: the bundled pages in `seeds/sample_botmaker`.

Twenty days of a made-up shop with a Brazilian and an Argentine line. Every morning fetches the last two days, so most sessions appear
twice, and a session that is open in one page has ended in the next. Every random value is a hash of its subject.

python -m tests.data.generate_botmaker --out seeds/sample_botmaker
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

FIRST_DAY = datetime(2026, 10, 1, tzinfo=UTC)
DAYS = 20
DRAWS = 700
USERS = 430
PAGE_ITEMS = 60
API = "https://api.botmaker.com/v2.0"
Choice = TypeVar("Choice")


@dataclass(frozen=True)
class Line:
    """A line of the shop. UTC is local time plus `country_hours`."""

    channel_id: str
    name: str
    number: str
    mobile_prefix: str
    country: str
    country_hours: int
    templates: tuple[str, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    answers: tuple[str, ...]


LINES = (
    Line(
        *("aurora-whatsapp-551140027701", "Aurora Brasil", "551140027701", "551199", "BR", 3),
        templates=("confirmacao_pedido", "pedido_enviado", "lembrete_pagamento", "pesquisa_satisfacao", "agendamento_confirmado"),
        first_names=("Ana", "Bruno", "Camila", "Davi", "Inês", "João", "Luiza", "Mateus", "Zé 🌵"),
        last_names=("Almeida", "Barbosa", "Conceição", "Duarte", "Nogueira"),
        answers=("Oi, quero saber mais", "Sim", "Não recebi ainda 😕", "Qual o preço?\nE o frete?", "ok, obrigada"),
    ),
    Line(
        *("aurora-whatsapp-541152780155", "Aurora Argentina", "541152780155", "549115", "AR", 3),
        templates=("pedido_confirmado", "envio_en_camino", "recordatorio_pago", "encuesta_satisfaccion", "turno_confirmado"),
        first_names=("Lucía", "Facundo", "Elena", "Héctor", "Martina", "Nicolás", "Sofía", "Tomás"),
        last_names=("Aguirre", "Benítez", "Núñez", "Ortega", "Ledesma"),
        answers=("Hola, quiero más información", "Sí, confirmo", "Gracias!", "¿Cuánto sale el envío?", "dale 👍"),
    ),
)
# Day, line, template and name of each bulk notification.
CAMPAIGNS = (
    (1, 0, "oferta_relampago", "Primavera 2026"),
    (4, 1, "novedades_temporada", "Novedades de octubre"),
    (7, 0, "novidades_colecao", "Coleção nova"),
    (11, 0, "oferta_relampago", "Dia das crianças"),
    (13, 1, "descuento_dia_madre", "Día de la Madre"),
    (17, 1, "novedades_temporada", "Volvé a la tienda"),
)
REASONS = (
    "ReceivedFailedStatus: This message was not delivered to maintain healthy ecosystem engagement. (131049.0)",
    "ReceivedFailedStatus: This message was not delivered to maintain healthy ecosystem engagement. (131049.0)",
    "ReceivedFailedStatus: Message undeliverable (131026.0)",
    "ReceivedFailedStatus: Message undeliverable (131026.0)",
    "ReceivedFailedStatus: User has stopped marketing messages (131050.0)",
    "ReceivedFailedStatus: User's number is part of an experiment (130472.0)",
    "ReceivedFailedStatus: Template is paused (132015.0)",
    "ReceivedFailedStatus: Business eligibility payment issue (131042.0)",
    "The channel did not answer",
)


def share(*about: object) -> float:
    """Return a pseudo-random number from 0 to 1 that depends only on the arguments."""
    return int.from_bytes(hashlib.md5(repr(about).encode()).digest()[:6]) / (1 << 48)


def pick(choices: Sequence[Choice], *about: object) -> Choice:
    return choices[int(share(*about) * len(choices))]


def some_id(letters: int, *about: object) -> str:
    return hashlib.md5(repr(about).encode()).hexdigest()[:letters].upper()


def written(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time.microsecond // 1000:03d}Z"


@dataclass
class Story:
    """A complete session; a page shows only what had happened when it was fetched."""

    number: int
    line: Line
    user: int
    started_at: datetime
    cause: str
    notification_name: str | None = None
    messages: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def chat_id(self) -> str:
        return some_id(14, "chat", self.user)

    @property
    def ended_at(self) -> datetime:
        return self.started_at + timedelta(hours=25, seconds=self.number % 60)

    @property
    def session_id(self) -> str:
        return f"{self.chat_id}_{written(self.started_at)}"

    @property
    def contact_id(self) -> str:
        return self.line.mobile_prefix + f"{int(share('phone', self.user) * 10_000_000):07d}"

    def say(self, sender: str, at: datetime, text: str, id_: str | None = None, **content: Any) -> None:
        self.messages.append(
            {
                "id": id_ or some_id(16, self.number, sender, at),
                "creationTime": written(at),
                "from": sender,
                "content": {"type": "text", "text": text, **content},
                "sessionId": self.session_id,
            }
        )

    def note(self, name: str, at: datetime, **info: Any) -> None:
        self.events.append({"name": name, "creationTime": written(at), "info": info, "sessionId": self.session_id})


@cache
def stories() -> list[Story]:
    """Return every session of the twenty days, in order of their start; a user has one session at a time."""
    made: list[Story] = []
    open_until: dict[int, datetime] = {}
    for story in sorted((_story(number) for number in range(DRAWS)), key=lambda s: (s.started_at, s.number)):
        if story.started_at > open_until.get(story.user, FIRST_DAY):
            open_until[story.user] = story.ended_at
            made.append(story)
    return made


def _story(number: int) -> Story:
    kind = share("kind", number)
    user = int(share("user", number) ** 1.3 * USERS)
    line = LINES[user % len(LINES)]
    local_hour = timedelta(hours=9 + 11 * share("hour", number) + line.country_hours)
    started_at = FIRST_DAY + timedelta(days=int(share("day", number) * DAYS)) + local_hour
    if kind < 0.4:
        day, line_number, template, name = pick(CAMPAIGNS, "campaign", number)
        # A bulk notification is sent within an hour, to users of its own line.
        user -= (user - line_number) % len(LINES)
        user = max(user, line_number)
        started_at = FIRST_DAY + timedelta(days=day, hours=14, seconds=round(3600 * share("bulk", number), 3))
        story = Story(number, LINES[line_number], user, started_at, "MassNotification", name)
        _push(story, template, 0)
    elif kind < 0.74:
        story = Story(number, line, user, started_at, "WhatsAppTemplate")
        _push(story, pick(line.templates, "template", number), 0)
    else:
        cause = "Organic" if kind < 0.9 else "ReferredCampaign" if kind < 0.98 else "AgentAction"
        story = Story(number, line, user, started_at, cause)
        story.say("agent" if cause == "AgentAction" else "user", started_at, pick(line.answers, "opening", number))
        _talk(story, started_at)
        if share("within", number) < 0.2:
            # A template in a session that is already open: billed, but not in the report.
            _push(story, line.templates[0], 1800)
    story.note("conversation-close", story.ended_at)
    return story


def _push(story: Story, template: str, after_seconds: int) -> None:
    number, at = story.number, story.started_at + timedelta(seconds=after_seconds)
    message_id = some_id(16, "push", number, after_seconds)
    about = {"messageId": message_id, "whatsappTemplate": template, "agentId": None}
    after = lambda seconds: at + timedelta(milliseconds=int(seconds * 1000))  # noqa: E731
    story.say("bot", at, "", message_id, whatsAppTemplateName=template)
    if share("fails", number) < 0.07:
        reason, failed_at = pick(REASONS, "reason", number), after(2 + 20 * share("failed", number))
        story.note("notification-error", failed_at, **about, error=reason, reason=reason)
        story.result = {"error": failed_at}
        return
    sent_at = after(1 + 2 * share("sent", number))
    story.note("notification-sent", sent_at, **about)
    story.result = {"sent": sent_at}
    if share("arrives", number) > 0.95:
        return
    delivered_at = after(3 + 40_000 * share("delivered", number) ** 9)
    story.note("notification-delivered", delivered_at, **about)
    story.result["delivered"] = delivered_at
    read_at = delivered_at + timedelta(seconds=int(4 + 50_000 * share("read", number) ** 5))
    # One user in five has read receipts off, and may still answer.
    if share("receipts", story.user) > 0.2 and share("reads", number) < 0.75:
        story.note("notification-read", read_at, **about)
        story.result["read"] = read_at
    if share("answers", number) < 0.2:
        answered_at = read_at + timedelta(seconds=int(15 + 6000 * share("answered", number) ** 3))
        story.result["answered"] = answered_at
        story.say("user", answered_at, pick(story.line.answers, "answer", number))
        _talk(story, answered_at)


def _talk(story: Story, since: datetime) -> None:
    """Add a bot's answer and sometimes an agent's."""
    story.say("bot", since + timedelta(seconds=2), "😊")
    story.note("find-intent", since + timedelta(seconds=1), intent="saludo")
    if share("agent", story.number, since) < 0.3:
        story.note("assigned-to-agent", since + timedelta(minutes=3), agentId=f"agent-{story.user % 4}")
        story.say("agent", since + timedelta(minutes=4), "👋")


def _item(story: Story, shown_at: datetime) -> dict[str, Any]:
    """Return a session as the API returns it at a given time, with only what has happened by then."""
    until = written(shown_at)
    user, line = story.user, story.line
    return {
        "id": story.session_id,
        "creationTime": written(story.started_at),
        "startingCause": story.cause,
        "chat": {
            "chat": {"chatId": story.chat_id, "channelId": line.channel_id, "contactId": story.contact_id},
            "creationTime": written(_chat_began_at(story)),
            "firstName": pick(line.first_names, "first", user),
            "lastName": pick(line.last_names, "last", user),
            "country": line.country,
            "email": None,
            "isBanned": False,
            "isTester": share("tester", user) < 0.015,
            "isBotMuted": False,
        },
        "messages": [message for message in story.messages if message["creationTime"] <= until],
        "events": [event for event in sorted(story.events, key=lambda e: e["creationTime"]) if event["creationTime"] <= until],
    }


def _chat_began_at(story: Story) -> datetime:
    """Return when a user's chat began: before October for half of the users, for the others with their first session."""
    if share("known", story.user) < 0.5:
        return FIRST_DAY - timedelta(days=1 + int(300 * share("since", story.user)))
    first = min(other.started_at for other in stories() if other.user == story.user)
    return first - timedelta(seconds=int(20 * share("just", story.user)))


def session_pages() -> dict[str, dict[str, Any]]:
    """Return the pages of sessions by file name: every morning the last two days, including open sessions."""
    pages = {}
    for day in range(1, DAYS + 3):
        shown_at = FIRST_DAY + timedelta(days=day, hours=9)
        items = [_item(story, shown_at) for story in stories() if shown_at - timedelta(hours=48) <= story.started_at < shown_at]
        for page, start in enumerate(range(0, len(items), PAGE_ITEMS), 1):
            more = start + PAGE_ITEMS < len(items)
            next_page = f"{API}/sessions?page={some_id(12, 'page', day, page)}" if more else None
            pages[f"{shown_at:%Y-%m-%d}-page-{page}"] = {"nextPage": next_page, "items": items[start : start + PAGE_ITEMS]}
    return pages


def result_pages() -> dict[str, dict[str, Any]]:
    """Return the pages of sent results by file name: each bulk notification on the next morning, and again three days later."""
    pages = {}
    for number, (day, _, _, name) in enumerate(CAMPAIGNS):
        sent = [story for story in stories() if story.notification_name == name]
        for days_later in (1, 4):
            shown_at = FIRST_DAY + timedelta(days=day + days_later, hours=10)
            notification = {
                "campaignName": name,
                "contactGroup": f"grupo-{number + 1}",
                "notificationName": name,
                "notificationInstanceId": some_id(12, "instance", number),
                "start": written(min(story.started_at for story in sent)),
                "end": written(max(story.started_at for story in sent)),
                "status": "COMPLETED",
            }
            customers = [_customer(story, shown_at) for story in sent]
            pages[f"{shown_at:%Y-%m-%d}-bulk-{number + 1}"] = {"nextPage": None, "notification": notification, "customers": customers}
    return pages


def _customer(story: Story, shown_at: datetime) -> dict[str, Any]:
    times = {name: at for name, at in story.result.items() if at <= shown_at}
    return {
        "customerId": story.chat_id,
        # This endpoint returns whole seconds.
        "sessionId": f"{story.chat_id}_{story.started_at:%Y-%m-%dT%H:%M:%SZ}",
        "contactId": story.contact_id,
        "phone": f"+{story.contact_id}",
        "firstName": pick(story.line.first_names, "first", story.user),
        "lastName": pick(story.line.last_names, "last", story.user),
        "email": None,
        "lastStatus": list(times)[-1] if times else "sent",
        "status": {name: at.strftime("%Y-%m-%dT%H:%M:%SZ") for name, at in times.items()},
    }


def channel_page() -> dict[str, Any]:
    items = [{"id": line.channel_id, "platform": "whatsapp", "active": True, "name": line.name, "number": line.number} for line in LINES]
    return {"items": [*items, {"id": "aurora-webchat-1", "platform": "webchat", "active": True, "name": "Aurora Web"}]}


def generate(folder: Path) -> None:
    """Write all pages into `folder/botmaker`, one zstd file each."""
    feeds = {"sessions": session_pages(), "sent_results": result_pages(), "channels": {"2026-10-01": channel_page()}}
    codec = pa.Codec("zstd", compression_level=19)
    for feed, pages in feeds.items():
        target = folder / "botmaker" / feed
        target.mkdir(parents=True, exist_ok=True)
        for name, page in pages.items():
            text = json.dumps(page, ensure_ascii=False, separators=(",", ":")) + "\n"
            (target / f"{name}.json.zst").write_bytes(codec.compress(text.encode(), asbytes=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    generate(parser.parse_args().out)


if __name__ == "__main__":
    main()
