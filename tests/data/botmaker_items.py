"""Botmaker items as its API returns them: some written by hand, and random ones with many ties."""

import json
import random
from pathlib import Path
from typing import Any

Item = dict[str, Any]


def session(chat: str, at: str, cause: str | None = "WhatsAppTemplate", **more: Any) -> Item:
    """Return an item of `GET /sessions`; `at` is a time of 2026-10."""
    chat_of_session = {
        "chat": {"chatId": chat, "channelId": more.pop("channel", "boti-1"), "contactId": more.pop("contact", f"+54 9 {chat}01")},
        "isTester": more.pop("tester", False),
        "firstName": "Ana",
    }
    if "chat_began" in more:
        chat_of_session["creationTime"] = time(more.pop("chat_began"))
    return {"id": f"{chat}_{time(at)}", "creationTime": time(at), "startingCause": cause, "chat": chat_of_session, **more}


def time(at: str) -> str:
    return f"2026-10-{at.replace(' ', 'T')}Z"


def event(name: str, at: str, message_id: str | None = None, template: str | None = None, **info: str) -> Item:
    given = {"messageId": message_id, "whatsappTemplate": template, **info}
    return {"name": name, "creationTime": time(at), "info": {key: value for key, value in given.items() if value is not None}}


def message(message_id: str, at: str, sender: str, template: str | None = None) -> Item:
    content = {"type": "text", "text": 'what they wrote: ", ]}'} | ({"whatsAppTemplateName": template} if template else {})
    return {"id": message_id, "creationTime": time(at), "from": sender, "content": content}


def result(session_id: str, **status: str) -> Item:
    return {"sessionId": session_id, "contactId": "1", "status": {name: time(at) for name, at in status.items()}}


def compact(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def put(landing: Path, name: str, content: bytes) -> None:
    path = landing / "botmaker" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


SESSIONS = [
    # A template to a new user with an answer, then a second one while the session is open, also with an answer.
    session(
        "1111", "01 10:00:00", chat_began="01 09:59:00",
        events=[
            event("notification-sent", "01 10:00:01", "m1", "welcome"),
            event("notification-delivered", "01 10:00:05", "m1"),
            event("notification-sent", "01 12:00:00", "m2", "reminder"),
            event("notification-read", "01 12:05:00", "m2"),
            event("conversation-close", "02 10:00:00"),
        ],
        messages=[
            message("m1", "01 10:00:00", "bot", "welcome"),
            message("u1", "01 10:10:00", "user"),
            message("u2", "01 12:30:00", "user"),
        ],
    ),
    # The same person later; Meta held the message back.
    session(
        "1111", "03 10:00:00", chat_began="01 09:59:00",
        events=[
            event("notification-sent", "03 10:00:00", "m3", "welcome"),
            event("notification-error", "03 10:00:02", "m3", reason="ReceivedFailedStatus: Held back (really). (131049.0)"),
        ],
    ),
    # A user writes first, in a chat that is older than a minute. The template that follows starts no session.
    session(
        "2222", "01 10:00:00", "Organic", chat_began="01 09:58:59",
        messages=[message("u3", "01 10:00:00", "user"), message("m4", "01 11:00:00", "bot", "offer")],
    ),
    # A sent result makes this one a mass notification.
    session("3333", "01 10:00:00", "Organic", messages=[message("m5", "01 10:00:03", "bot", "sale")]),
    session("4444", "01 10:00:00", tester=True, events=[event("notification-sent", "01 10:00:00", "m6", "t")]),
    session("5555", "01 10:00:00", "CauseOf2030"),
    session("6666", "01 10:00:00", "ReferredCampaign"),
    # A push without any further data.
    session("7777", "01 23:30:00"),
]  # fmt: skip
RESULTS = [
    result("3333_2026-10-01T10:00:00.000Z", sent="01 10:00:02", delivered="01 10:00:04", answered="01 18:00:00"),
    result("9999_2026-10-01T10:00:00Z", sent="01 10:00:00"),
]
CHANNELS = [
    {"id": "boti-1", "platform": "whatsapp", "number": "+54 11 5555-0000"},
    {"id": "boti-2", "platform": "telegram", "token": "secret"},
]


def put_all(landing: Path) -> None:
    put(landing, "sessions/1.json", compact({"items": SESSIONS, "nextPage": None}))
    put(landing, "sent_results/1.json", compact({"notification": {"notificationName": "Sale"}, "customers": RESULTS, "nextPage": None}))
    put(landing, "channels/1.json", compact({"items": CHANNELS}))


def tied_items(rnd: random.Random) -> tuple[list[Item], list[Item], list[Item]]:
    """Return sessions, sent results and channels with few chats and few times, so that there are many ties."""
    moments = [f"{day:02} {hour:02}:00:0{second}" for day in (1, 2) for hour in (9, 10, 11) for second in (0, 1)]
    names = ["notification-sent", "notification-delivered", "notification-read", "notification-error", "notification-status-error", "go-to"]
    items = []
    for _ in range(60):
        started = rnd.choice(moments[:4])
        item = session(
            f"C{rnd.randrange(6)}", started, rnd.choice(["WhatsAppTemplate", "MassNotification", "Organic", None, "ReferredWebchat"]),
            channel=rnd.choice(["boti-1", "boti-1", "boti-2"]), contact=rnd.choice(["1", "2", "US.3"]), tester=rnd.random() < 0.1,
            chat_began=rnd.choice(moments),
            events=[
                event(rnd.choice(names), rnd.choice(moments), rnd.choice(["m1", "m2", "m3", None]), rnd.choice(["a", "b", None]),
                      reason=rnd.choice(["x (1)", "y (131026.0)", "z"]))
                for _ in range(rnd.randrange(4))
            ],
            messages=[
                message(rnd.choice(["m1", "m2", "m4", "u1", "u2", "u3"]), rnd.choice(moments), rnd.choice(["bot", "user", "agent"]),
                        rnd.choice(["a", "b", None]))
                for _ in range(rnd.randrange(4))
            ],
        )  # fmt: skip
        items.append(item | {"id": rnd.choice([item["id"], item["id"].replace("Z", ".000Z")])})
    results = [
        result(
            rnd.choice(items)["id"], **{kind: rnd.choice(moments) for kind in ("sent", "read", "answered", "error") if rnd.random() < 0.4}
        )
        | {"notificationName": rnd.choice(["n1", "n2"])}
        for _ in range(12)
    ]
    channels: list[Item] = [{"id": "boti-1", "number": "+7 77"}, {"id": "boti-1", "number": "33"}, {"id": "boti-2", "number": None}]
    return items, results, channels
