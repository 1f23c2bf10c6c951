"""Generate realistic send logs and WhatsApp webhooks, the same bytes for the same arguments.

This script makes the bundled logs in `seeds/sample_logs` and the millions of sends of the benchmark. Every random value is a hash of a
row's number and a salt, so the content of a row depends neither on the number of threads nor on the size of the run. Sends are generated in
parts, which limits the memory to that of one part, and lines are then written day by day: 10M sends take no more memory than 1M.

python -m tests.data.generate_logs --out seeds/sample_logs --sends 4400 --days 46 --blemishes
python -m tests.data.generate_logs --out /tmp/logs --sends 1000000 --days 60
"""

import argparse
import gzip
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import duckdb
import pyarrow as pa

FIRST_DAY = date(2026, 10, 1)
# For this many sends and their events, DuckDB takes 1.5 GB.
PART_SENDS = 250_000

# The entities of a story: three lines, twelve templates, four campaigns.
STORY = """
create or replace macro rnd(i, salt) as
    (md5_number_lower(i::varchar || '/' || salt) >> 11)::double / 9007199254740992.0;
create or replace macro pick(i, salt, choices) as
    choices[1 + floor(rnd(i, salt) * len(choices))::int];

create table lines as from (values
    (0, '108234567890101', '551140028922', '+55 11 4002-8922', '55119', 8, 'pt_BR', 10800),
    (1, '108234567890202', '541152780101', '+54 11 5278-0101', '54911', 8, 'es_AR', 10800),
    (2, '108234567890303', '56224978800', '+56 2 2497 8800', '569', 8, 'es', 10800)
) t(line, channel_id, line_number, display_phone_number, mobile_prefix, mobile_digits, language, utc_offset_seconds);

create table templates as from (values
    (0, 'confirmacao_pedido', false), (1, 'pedido_enviado', false), (2, 'lembrete_pagamento', false),
    (3, 'codigo_rastreio', false), (4, 'pesquisa_satisfacao', false), (5, 'agendamento_confirmado', false),
    (6, 'carrinho_abandonado', true), (7, 'oferta_relampago', true), (8, 'reativacao_cliente', true),
    (9, 'convite_evento', true), (10, 'novidades_colecao', true), (11, 'segunda_via_boleto', false)
) t(template, template_name, is_marketing);

create table failures as from (values
    (0, 131026, 'Message undeliverable', 'Message Undeliverable.'),
    (1, 131026, 'Message undeliverable', 'Message Undeliverable.'),
    (2, 131049, 'This message was not delivered to maintain healthy ecosystem engagement.', 'In order to maintain a healthy ecosystem engagement, the message failed to be delivered.'),
    (3, 131049, 'This message was not delivered to maintain healthy ecosystem engagement.', 'In order to maintain a healthy ecosystem engagement, the message failed to be delivered.'),
    (4, 131050, 'User has stopped marketing messages', 'The recipient has opted out of marketing messages from this business.'),
    (5, 130472, 'User''s number is part of an experiment', 'Failed to send message because this user''s phone number is part of an experiment'),
    (6, 131047, 'Re-engagement message', 'Message failed to send because more than 24 hours have passed since the customer last replied to this number.'),
    (7, 131053, 'Media upload error', 'Media upload error'),
    (8, 131000, 'Something went wrong', 'Message failed to send due to an unknown error.'),
    (9, 139999, 'A code nobody has seen yet', null)
) t(failure, code, title, details);

create table refusals as from (values
    (0, 132001, 'Template name does not exist in the translation', 'template name does not exist in es_AR'),
    (1, 132015, 'Template is paused', 'The template is paused due to low quality and cannot be sent.'),
    (2, 131048, 'Spam rate limit hit', 'Message failed to send because there are restrictions on how many messages can be sent from this phone number.'),
    (3, 131042, 'Business eligibility payment issue', 'Message failed to send because there were one or more errors related to your payment method.'),
    (4, 131026, 'Message undeliverable', 'Message Undeliverable.')
) t(refusal, code, title, details);
"""

CONTACTS = """
create or replace macro wamid(phone, i, salt) as 'wamid.' || to_base64(
    '\\x1C\\x18\\x0D'::blob || encode(phone) || '\\x15\\x02\\x00\\x11\\x18\\x12'::blob
    || encode(upper(left(md5(i::varchar || salt), 18))) || '\\x00'::blob);

create table contacts as
select
    c as contact,
    line,
    channel_id,
    display_phone_number,
    language,
    -- Some people hide their number: WhatsApp then gives a user id and no phone.
    rnd(c, 'username') < 0.01 as is_hidden,
    mobile_prefix || lpad(floor(rnd(c, 'phone') * 1e8)::bigint::varchar, mobile_digits, '0') as phone,
    case when rnd(c, 'username') < 0.01 then 'BR.' || (13490000000000000000 + c)::varchar end as user_id,
    coalesce(user_id, phone) as contact_id,
    pick(c, 'name', ['Ana', 'Bruno', 'Camila', 'Diego', 'Elena', 'Facundo', 'Gabi', 'Héctor', 'Inês', 'João', 'Lucía', 'Zé 🌵']) as profile_name,
    'CUST-' || lpad(c::varchar, 8, '0') as customer_id,
    rnd(c, 'receipts') < 0.22 as receipts_off,
    pick(c, 'team', ['Vendas', 'Suporte', 'Cobranças', null]) as agent_group
from range($contacts) r(c)
inner join lines on line = case when rnd(c, 'line') < 0.55 then 0 when rnd(c, 'line') < 0.9 then 1 else 2 end;
"""

SENDS = """
create or replace macro pricing(category, type) as
    ', "pricing": {"billable": ' || (type = 'regular') || ', "pricing_model": "PMP", "type": "' || type || '", "category": "' || category || '"}';

create or replace table pushes as
with drawn as (
    select
        i,
        floor(pow(rnd(i, 'contact'), 1.4) * $contacts)::bigint as contact,
        $from_day + floor(pow(rnd(i, 'day'), 0.95) * $days)::int as day,
        -- Sends go out between 08:00 and 20:00 local time.
        (8 + 12 * rnd(i, 'hour')) * 3600 as local_second,
        floor(rnd(i, 'template') * 12)::int as template,
        rnd(i, 'fate') as fate
    from range($from_send, $to_send) r(i)
)
select
    d.*, c.* exclude (contact), t.template_name, t.is_marketing,
    make_timestamp((epoch_us($first_day::timestamp) + (d.day * 86400 + d.local_second + 10800)::bigint * 1000000
        + floor(rnd(i, 'ms') * 1000)::bigint * 1000)::bigint) as sent_at,
    case when t.is_marketing and rnd(i, 'bulk') < 0.85
        then pick(i, 'campaign', ['Primavera 2026', 'Black Friday antecipada', 'Volte para a loja', 'Dia das crianças']) end as notification_name,
    fate < 0.02 as is_refused,
    fate between 0.02 and 0.065 as is_failed,
    case when fate < 0.02 then 'prov-' || left(md5(i::varchar || 'p'), 20) else wamid(c.phone, i, 'push') end as message_id
from drawn d inner join contacts c using (contact) inner join templates t using (template);

create or replace table push_statuses as
with timed as (
    select
        *,
        sent_at + to_seconds(1 + floor(rnd(i, 'sent') * 3)::int) as wa_sent_at,
        case when not is_refused and not is_failed and rnd(i, 'deliver') < 0.955
            then sent_at + to_seconds((2 + pow(rnd(i, 'deliver_in'), 12) * 180000)::int) end as wa_delivered_at
    from pushes
),
read as (
    select *, case when wa_delivered_at is not null and not receipts_off and rnd(i, 'read') < 0.74
        then wa_delivered_at + to_seconds((5 + pow(rnd(i, 'read_in'), 5) * 90000)::int) end as wa_read_at
    from timed
)
select
    *,
    case when wa_delivered_at is not null and rnd(i, 'reply') < 0.17
        then coalesce(wa_read_at, wa_delivered_at) + to_seconds((20 + pow(rnd(i, 'reply_in'), 4) * 100000)::int) end as wa_replied_at,
    -- WhatsApp may leave `delivered` out when the message is read at once.
    wa_delivered_at is not null and not (wa_read_at is not null and rnd(i, 'skip') < 0.03) as has_delivered,
    case
        when rnd(i, 'price') < 0.01 then null
        when rnd(i, 'price') < 0.02 then pricing('referral_conversion', 'free_entry_point')
        when is_marketing then pricing('marketing', 'regular')
        else pricing('utility', 'regular')
    end as pricing
from read;

create or replace table inbound as
-- Answers, half of which quote the message that they answer.
select
    'reply/' || i as event, contact, wa_replied_at as happened_at,
    wamid(phone, i, 'reply') as message_id,
    case when rnd(i, 'quote') < 0.5 then message_id end as context_id,
    pick(i, 'kind', ['text', 'text', 'text', 'button', 'interactive', 'audio', 'image', 'reaction']) as type,
    null as referral, i
from push_statuses where wa_replied_at is not null
union all
-- People who write first, some of them from an advertisement.
select
    'organic/' || o, floor(rnd(o, 'organic') * $contacts)::bigint,
    make_timestamp((epoch_us($first_day::timestamp) + ($from_day * 86400 + floor(rnd(o, 'organic_at') * $days * 86400)::bigint) * 1000000)::bigint),
    wamid(o::varchar, o, 'organic'), null,
    pick(o, 'organic_kind', ['text', 'text', 'audio', 'image', 'system', 'unsupported']),
    case when rnd(o, 'ad') < 0.3 then pick(o, 'ad_type', ['ad', 'ad', 'post']) end, o
from range($from_organic, $to_organic) r(o);

create or replace table agent_messages as
-- Answers of a bot or an agent within the session, which keep it open.
select
    wamid(c.phone, i, 'agent' || event) as message_id, happened_at + to_seconds(30 + floor(rnd(i, 'agent') * 900)::int) as sent_at,
    c.*
from inbound inner join contacts c using (contact)
where rnd(i, 'answered_by_agent' || event) < 0.12;
"""

SEND_LINES = """
create or replace table send_lines as
with sends as (
    select message_id, sent_at, contact, template_name, notification_name, is_refused, i from pushes
    union all
    select message_id, sent_at, contact, null, null, false, null from agent_messages
),
described as (
    select
        s.*, c.* exclude (contact), r.code, r.title, r.details, day_of.day,
        -- Half of the logs have times with an offset, the others Unix milliseconds or seconds.
        case
            when abs(hash_of) % 4 < 2 then '"' || strftime(s.sent_at - interval 3 hour, '%Y-%m-%dT%H:%M:%S.%g') || '-03:00"'
            when abs(hash_of) % 4 = 2 then epoch_ms(s.sent_at)::varchar
            else (epoch_ms(s.sent_at) // 1000)::varchar
        end as sent_at_text,
        hash_of
    from sends s
    inner join contacts c using (contact)
    cross join lateral (select md5_number_lower(s.message_id)::hugeint as hash_of) h
    cross join lateral (select date_diff('day', $first_day::date, s.sent_at::date) as day) day_of
    left join refusals r on s.is_refused and r.refusal = floor(rnd(s.i, 'refusal') * 5)::int
)
select
    day, hash_of as shuffle,
    '{"message_id": "' || message_id || '", "sent_at": ' || sent_at_text
    || ', "channel_id": "' || channel_id || '", "line_number": "' || display_phone_number
    || '", "contact_id": "' || case when is_hidden then contact_id when contact % 3 = 0 then '+' || contact_id else contact_id end
    || '", "template_name": ' || coalesce('"' || template_name || '"', 'null')
    || ', "template_language": ' || case when template_name is null then 'null' else '"' || language || '"' end
    || ', "notification_name": ' || coalesce('"' || notification_name || '"', 'null')
    || ', "customer_id": "' || customer_id
    || '", "customer_created_at": "' || strftime(case when rnd(contact, 'known') < 0.3
        then sent_at - to_seconds(floor(rnd(contact, 'age') * 50)::int) else $first_day::timestamp - to_days(floor(rnd(contact, 'age') * 400)::int) end, '%Y-%m-%dT%H:%M:%SZ')
    || '"' || coalesce(', "agent_groups": "' || agent_group || '"', '')
    || ', "chat_link": "https://inbox.example.com/chats/' || customer_id || '"'
    || coalesce(', "error": {"code": ' || code || ', "title": "' || title || '", "details": "' || details || '"}', '')
    || '}' as line
from described;
"""

EVENTS = """
create or replace table events as
with statuses as (
    select contact, message_id, 'sent' as status, wa_sent_at as happened_at, i, null::int as failure, pricing from push_statuses where not is_refused and not is_failed
    union all
    select contact, message_id, 'failed', wa_sent_at + to_seconds(floor(rnd(i, 'fail_in') * 600)::int), i, floor(rnd(i, 'failure') * 10)::int, null from push_statuses where is_failed
    union all
    select contact, message_id, 'delivered', wa_delivered_at, i, null, pricing from push_statuses where has_delivered
    union all
    -- The price is in `sent`, and in either `delivered` or `read`, not in both.
    select contact, message_id, 'read', wa_read_at, i, null, case when not has_delivered then pricing end
    from push_statuses where wa_read_at is not null
),
status_items as (
    select
        c.line, happened_at, message_id || status as id,
        '{"id": "' || message_id || '", "status": "' || status || '", "timestamp": "' || (epoch_ms(happened_at) // 1000)
        || '", ' || case when is_hidden then '"recipient_user_id": "' || user_id else '"recipient_id": "' || phone end || '"'
        || case
            when status = 'failed' then ', "errors": [{"code": ' || f.code || ', "title": "' || replace(f.title, '"', '\\"') || '", "message": "' || f.title
                || '"' || coalesce(', "error_data": {"details": "' || f.details || '"}', '')
                || ', "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/"}]'
            else ', "conversation": {"id": "' || md5(message_id) || '"' || case when status = 'sent' then ', "expiration_timestamp": "' || (epoch_ms(happened_at) // 1000 + 86400) || '"' else '' end
                || ', "origin": {"type": "marketing"}}' || coalesce(pricing, '')
        end || '}' as item,
        'statuses' as kind, null as profile
    from statuses s inner join contacts c using (contact) left join failures f using (failure)
),
message_items as (
    select
        c.line, happened_at, message_id as id,
        '{' || case when is_hidden then '"from_user_id": "' || user_id else '"from": "' || phone end
        || '", "id": "' || message_id || '", "timestamp": "' || (epoch_ms(happened_at) // 1000) || '", "type": "' || type || '"'
        || case when context_id is not null then ', "context": {"from": "' || regexp_replace(display_phone_number, '[^0-9]', '', 'g') || '", "id": "' || context_id || '"}' else '' end
        || case when referral is not null then ', "referral": {"source_url": "https://fb.me/3cr4Wqqkv", "source_id": "120226305854810726", "source_type": "' || referral
            || '", "headline": "Fale com a gente", "body": "Promoção da semana", "media_type": "image", "ctwa_clid": "ARAkLkA8rmlFeiCktEJQ"}' else '' end
        || case type
            when 'text' then ', "text": {"body": "' || pick(i, 'words', ['Oi, quero saber mais', 'Sí, confirmo', 'Gracias!', 'Não recebi ainda 😕', 'Qual o preço?\\nE o frete?', 'ok']) || '"}'
            when 'button' then ', "button": {"payload": "SIM", "text": "Sim"}'
            when 'interactive' then ', "interactive": {"type": "button_reply", "button_reply": {"id": "opt-1", "title": "Confirmar"}}'
            when 'reaction' then ', "reaction": {"message_id": "' || coalesce(context_id, message_id) || '", "emoji": "👍"}'
            when 'audio' then ', "audio": {"mime_type": "audio/ogg; codecs=opus", "sha256": "' || md5(message_id) || '", "id": "1908647269898587", "voice": true}'
            when 'image' then ', "image": {"mime_type": "image/jpeg", "sha256": "' || md5(message_id) || '", "id": "1908647269898588"}'
            when 'system' then ', "system": {"body": "User changed their number", "type": "user_changed_number"}'
            else ', "errors": [{"code": 131051, "title": "Message type unknown"}]' end || '}' as item,
        'messages' as kind,
        '{"profile": {"name": "' || profile_name || '"}, ' || case when is_hidden then '"user_id": "' || user_id else '"wa_id": "' || phone end || '"}' as profile
    from inbound inner join contacts c using (contact)
),
items as (from status_items union all from message_items),
posted as (
    select
        *,
        rnd(1, id) as shuffle,
        -- Most bodies are posted within seconds; some are retried for hours or days.
        happened_at + to_seconds((2 + 20 * rnd(2, id) + case when rnd(3, id) < 0.02 then 172800 * rnd(4, id) else 0 end)::int) as posted_at,
        rnd(5, id) < 0.01 as is_repeated
    from items
),
copied as (
    select line, item, kind, profile, shuffle, posted_at from posted
    union all
    select line, item, kind, profile, rnd(1, item), posted_at + to_seconds((3600 * shuffle)::int) from posted where is_repeated
)
select *, date_diff('day', $first_day::date, posted_at::date) as day from copied;
"""

# The lines of one day: a webhook body contains items that are posted on the same day.
WEBHOOK_LINES = """
with numbered as (
    select *, row_number() over (partition by line, kind order by posted_at, shuffle, item) as n from day_webhooks
),
-- One body in thirty carries several items, as WhatsApp does under load.
bodied as (select *, case when n % 90 < 4 then n // 90 * 90 else n end as body from numbered),
bodies as (
    select
        line, kind, min(shuffle) as shuffle, min(posted_at) as posted_at,
        string_agg(item, ', ' order by shuffle, item) as items,
        string_agg(distinct profile, ', ' order by profile) as profiles
    from bodied group by line, kind, body
)
select
    -- Almost in the order of arrival, with neighbours swapped.
    epoch_ms(posted_at) + (shuffle * 60000)::bigint as shuffle,
    '{"object": "whatsapp_business_account", "entry": [{"id": "10200000000000' || line || '", "changes": [{"value": {"messaging_product": "whatsapp", "metadata": {"display_phone_number": "'
    || regexp_replace(display_phone_number, '[^0-9]', '', 'g') || '", "phone_number_id": "' || channel_id || '"}'
    || coalesce(', "contacts": [' || profiles || ']', '')
    || ', "' || kind || '": [' || items || ']}, "field": "messages"}]}]}' as line
from bodies inner join lines using (line)
"""

DAMAGED_SEND_LINES = [
    '{"message_id": "wamid.cut-off", "sent_at": "2026-10-20T12:00:00-03:00", "channel_id": "108234567890101", "conta',
    '{"message_id": "wamid.no-contact", "sent_at": "2026-10-20T12:00:00-03:00", "channel_id": "108234567890101"}',
    '{"message_id": "wamid.no-time", "sent_at": "yesterday", "channel_id": "108234567890101", "contact_id": "5511900000001"}',
    '{"message_id": 77, "sent_at": 1792508400, "channel_id": "108234567890101", "contact_id": "5511900000001"}',
]
DAMAGED_WEBHOOK_LINES = [
    '{"object": "whatsapp_business_account", "entry": [{"id": "102", "changes": [{"value": {"messaging_product": "whatsapp"',
    '{"object": "whatsapp_business_account", "entry": [{"id": "102", "changes": [{"field": "messages", "value": {"metadata": '
    '{"display_phone_number": "551140028922", "phone_number_id": "108234567890101"}, "statuses": [{"id": "wamid.no-time", "status": "sent"}]}}]}]}',
    "not json at all",
]
OTHER_WEBHOOK_LINES = [
    {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "102",
                "time": 1792508400,
                "changes": [
                    {
                        "field": "message_template_status_update",
                        "value": {
                            "event": "APPROVED",
                            "message_template_id": 594425479261596,
                            "message_template_name": "oferta_relampago",
                            "message_template_language": "pt_BR",
                            "reason": "NONE",
                        },
                    }
                ],
            }
        ],
    },
    {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "102",
                "time": 1792508401,
                "changes": [
                    {
                        "field": "phone_number_quality_update",
                        "value": {"display_phone_number": "551140028922", "event": "UPGRADE", "current_limit": "TIER_100K"},
                    }
                ],
            }
        ],
    },
    {
        "object": "whatsapp_business_account",
        "entry": [
            {
                "id": "102",
                "changes": [
                    {
                        "field": "messages",
                        "value": {
                            "messaging_product": "whatsapp",
                            "metadata": {"display_phone_number": "551140028922", "phone_number_id": "108234567890101"},
                            "statuses": [
                                {"id": "wamid.deleted", "status": "deleted", "timestamp": "1792508500", "recipient_id": "5511900000001"}
                            ],
                        },
                    }
                ],
            }
        ],
    },
]


# In the format of Meta's rate cards; the rates are made up, and Chile has none of its own.
RATE_CARD = """\
"Cost per message in USD, effective October 1, 2026",,,,,,
Note: made-up rates for the bundled logs.,,,,,,
,,,,,,
,,,,,,
,,,,,,
Market,Currency,Marketing,Utility,Authentication,"Authentication-
International",Service
Argentina,$US,0.0620,0.0260,0.0260,n/a,0.0080
Brazil,$US,0.0630,0.0080,0.0080,n/a,0.0080
Rest of Latin America,$US,0.0770,0.0120,0.0120,n/a,0.0080
"""


def write_rate_card(folder: Path) -> None:
    path = folder / "rates" / "usd-2026-10-01.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(RATE_CARD, encoding="utf-8")


@dataclass(frozen=True)
class Story:
    """The size of the logs: how many sends to how many contacts, over how many days, from which day on (0 is `FIRST_DAY`).

    Two stories with the same number of `contacts` and different numbers of sends (`first_send`) are about the same people: one continues
    the other.
    """

    sends: int
    days: int
    contacts: int = 0
    from_day: int = 0
    first_send: int = 0

    def parts(self) -> Iterator[dict[str, object]]:
        """Yield the parameters of each part of at most `PART_SENDS` sends."""
        for begin in range(0, max(self.sends, 1), PART_SENDS):
            bounds = [self.first_send + begin, self.first_send + min(begin + PART_SENDS, self.sends)]
            organic = [round(bound * 0.08) for bound in bounds]
            yield {
                "from_send": bounds[0],
                "to_send": bounds[1],
                "from_organic": organic[0],
                "to_organic": organic[1],
                "contacts": self.contacts or max(self.sends // 4, 1),
                "first_day": FIRST_DAY,
                "from_day": self.from_day,
                "days": self.days,
            }


class MadeLogs:
    """The lines of a story: generated part by part into Parquet files of one day each, then written day by day.

    Use it as a context manager: the intermediate files are in a temporary folder in `workspace`, or in the system's temporary folder.
    """

    def __init__(self, story: Story, workspace: Path | None = None) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="logs-", dir=workspace)
        self._folder = Path(self._temporary.name)
        self._con = duckdb.connect()
        self._con.execute("set timezone = 'UTC'")
        for number, part in enumerate(story.parts()):
            scripts = (STORY, CONTACTS, SENDS, SEND_LINES, EVENTS) if number == 0 else (SENDS, SEND_LINES, EVENTS)
            for script in scripts:
                self._run(script, part)
            for feed, table in (("sends", "send_lines"), ("webhooks", "events")):
                self._con.execute(
                    f"copy {table} to '{self._folder / feed}' "
                    f"(format parquet, compression zstd, partition_by (day), filename_pattern 'part-{number}-{{i}}', overwrite_or_ignore)"
                )

    def __enter__(self) -> "MadeLogs":
        return self

    def __exit__(self, *_: object) -> None:
        self._con.close()
        self._temporary.cleanup()

    def _run(self, script: str, values: Mapping[str, object]) -> None:
        for statement in self._con.extract_statements(script):
            self._con.execute(statement, {name: values[name] for name in statement.named_parameters})

    def days(self, feed: str) -> list[int]:
        """Return the days that have lines of a feed (`sends` or `webhooks`)."""
        return sorted(int(path.name.removeprefix("day=")) for path in (self._folder / feed).glob("day=*"))

    def write_day(self, feed: str, day: int, folder: Path, compression: str) -> Path:
        """Write one day's lines of a feed to one file, which is empty if there are none."""
        suffix = {"zstd": ".zst", "gzip": ".gz", "none": ""}[compression]
        path = folder / feed / f"{FIRST_DAY + timedelta(days=day):%Y-%m-%d}.jsonl{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._con.register("day_lines", self._lines(feed, day))
        if compression == "gzip":
            # Python's gzip accepts a fixed time stamp; DuckDB writes the current time.
            text = "".join(f"{line}\n" for (line,) in self._con.execute("select line from day_lines").fetchall())
            path.write_bytes(gzip.compress(text.encode(), mtime=0))
        else:
            self._con.execute(
                f"copy day_lines to '{path}' (format csv, header false, quote '', delimiter '\x01', compression {compression})"
            )
        self._con.unregister("day_lines")
        return path

    def _lines(self, feed: str, day: int) -> pa.Table:
        made = self._folder / feed / f"day={day}"
        if not made.exists():
            return pa.table({"line": pa.array([], pa.string())})
        self._con.execute(f"create or replace temp view day_{feed} as from read_parquet('{made}/*.parquet', hive_partitioning = false)")
        lines = f"({WEBHOOK_LINES})" if feed == "webhooks" else "day_sends"
        return self._con.execute(f"select line from {lines} order by shuffle, line").to_arrow_table()


def add_blemishes(folder: Path) -> None:
    """Add what real landing zones contain: bad lines, other kinds, and a truncated copy of a file."""
    with (folder / "sends" / "2026-10-20-late.jsonl").open("w", encoding="utf-8") as late:
        late.write("\n".join(DAMAGED_SEND_LINES) + "\n")
    with (folder / "webhooks" / "2026-10-20-late.jsonl").open("wb") as late:
        late.write("\n".join(DAMAGED_WEBHOOK_LINES).encode() + b'\n{"object": "\xff\xfe"}\n')
        late.write("".join(json.dumps(body) + "\n" for body in OTHER_WEBHOOK_LINES).encode())
    whole = gzip.compress((folder / "webhooks" / "2026-10-20-late.jsonl").read_bytes(), mtime=0)
    (folder / "webhooks" / "2026-10-21-cut-short.jsonl.gz").write_bytes(whole[: len(whole) // 2])


def generate(folder: Path, sends: int, days: int, *, blemishes: bool = False, compression: str | None = None) -> None:
    """Write the files of all days into `folder`; without a `compression` they alternate between the three kinds."""
    with MadeLogs(Story(sends, days)) as logs:
        for day in range(max(logs.days("sends") + logs.days("webhooks")) + 1):
            for feed in ("sends", "webhooks"):
                logs.write_day(feed, day, folder, compression or ("zstd", "gzip", "zstd", "none")[day % 4 if day < 8 else 2])
    write_rate_card(folder)
    if blemishes:
        add_blemishes(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sends", type=int, default=4400)
    parser.add_argument("--days", type=int, default=46)
    parser.add_argument("--blemishes", action="store_true")
    parser.add_argument("--compression", choices=["zstd", "gzip", "none"])
    args = parser.parse_args()
    generate(args.out, args.sends, args.days, blemishes=args.blemishes, compression=args.compression)


if __name__ == "__main__":
    main()
