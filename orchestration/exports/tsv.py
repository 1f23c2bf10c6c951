"""The TSV of the report: its 27 columns, their headers in three languages, and how a cell is written (contract, section 6).

Each rule for cells is one SQL expression, so that DuckDB writes a million rows in one scan.
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import duckdb

from orchestration.files import quoted
from orchestration.settings import DBT_PROJECT_DIR, Language, Settings

_BYTE_ORDER_MARK = "\ufeff"
FAILURE_REASONS = DBT_PROJECT_DIR / "seeds" / "failure_reasons.csv"


class Layout(StrEnum):
    """The columns of a TSV: all 27 (`standard`), or only those of the original download, with its headers (`botmaker`)."""

    STANDARD = "standard"
    BOTMAKER = "botmaker"


@dataclass(frozen=True)
class TsvColumn:
    """A column of the TSV: its field name, its headers, and the SQL that computes it from a session start."""

    name: str
    pt: str
    es: str
    sql: str

    def header(self, language: Language) -> str:
        return {Language.EN: self.name, Language.PT: self.pt, Language.ES: self.es}[language]


def _text(sql: str) -> str:
    """Return the SQL of a text cell: without control characters or formulas, and NULL instead of an empty string."""
    return f"text_cell({sql})"


def _time(column: str) -> str:
    return f"date_trunc('second', timezone($report_timezone, timezone('UTC', {column})))"


TSV_COLUMNS = (
    TsvColumn("customer_id", "ID do usuário", "Id Usuario", _text("customer_id")),
    TsvColumn("contact_id", "ID de contato/número", "Id Contacto/Número", _text("contact_id")),
    TsvColumn("session_started_at", "Data/hora de início da sessão", "Fecha/tiempo Inicio Sesión", _time("session_started_at")),
    TsvColumn("channel_id", "ID do canal", "Id canal", _text("channel_id")),
    TsvColumn("is_new_user", "Usuário novo", "Usuario Nuevo", "user_type = 'new'"),
    TsvColumn(
        "template_or_notification_name",
        "Nome do modelo/notificação",
        "Nombre Plantilla/Notificación",
        _text("coalesce(notification_name, template_name)"),
    ),
    TsvColumn("is_not_sent", "Não enviado", "No Enviado", "is_not_sent"),
    TsvColumn("is_sent", "Enviado", "Enviado", "is_sent"),
    TsvColumn("is_delivered", "Entregue", "Entregado", "is_delivered"),
    TsvColumn("is_read", "Lida", "Leída", "is_read"),
    TsvColumn("is_replied", "Respondida", "Respondida", "is_replied"),
    TsvColumn("failure_reason", "Motivo da falha de envio", "Razón Falla Envío", _text("translated_reason")),
    TsvColumn("failure_detail", "Detalhe da falha de envio", "Detalle Falla Envío", _text("failure_detail")),
    TsvColumn("sent_at", "Data/hora de envio", "Fecha/tiempo Envío", _time("sent_at")),
    TsvColumn("delivered_at", "Data/hora de entrega", "Fecha/tiempo Entrega", _time("delivered_at")),
    TsvColumn("read_at", "Data/hora de leitura", "Fecha/hora de lectura", _time("read_at")),
    TsvColumn("replied_at", "Data/hora de resposta", "Fecha/tiempo Respuesta", _time("replied_at")),
    TsvColumn("agent_groups", "Grupos de agentes", "Grupos Agente", _text("agent_groups")),
    TsvColumn("last_status", "Último status", "Último estado", "last_status"),
    TsvColumn("origin", "Origem", "Origen", "origin"),
    TsvColumn("line_number", "Número da linha", "Número de línea", _text("line_number")),
    TsvColumn("failure_code", "Código da falha", "Código de falla", _text("failure_code")),
    TsvColumn("session_start_id", "ID do início de sessão", "Id de inicio de sesión", _text("session_start_id")),
    TsvColumn("chat_link", "Link da conversa", "Enlace al chat", _text("chat_link")),
    TsvColumn("person_id", "ID da pessoa", "Id Persona", _text("person_id")),
    TsvColumn("first_reply_at", "Data/hora da primeira resposta", "Fecha/tiempo Primera Respuesta", _time("first_reply_at")),
    TsvColumn("failure_action", "Ação recomendada", "Acción recomendada", "failure_action"),
)

# The columns of the original download; the later ones exist only in this project.
ORIGINAL_COLUMNS = TSV_COLUMNS[:18]

# A spreadsheet runs a cell as a formula if it starts with one of these characters, also if full-width or after spaces. An apostrophe
# prevents that. A cell that is entirely a number is left alone: its sign, such as the + of a phone number, must stay.
# U+0085, U+2028 and U+2029 end a line for some readers, so they are replaced like the control characters.
# Cells are quoted here, and only if they contain a quote: DuckDB would also quote every link with a `#`, and a program that splits
# lines at tabs would see the quotes.
# Fast path: most cells need no escaping. It halves the time for a million rows.
CELL_MACROS = r"""
create or replace temp macro one_line(text) as
    regexp_replace(text, '[\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]', ' ', 'g');
create or replace temp macro guarded(text) as case
    when regexp_matches(text, '^[\s\x{a0}\x{3000}]*[=+\-@＝＋－＠]') and not regexp_full_match(text, '[+-]?[0-9][0-9.,]*')
        then '''' || text
    else text
end;
create or replace temp macro quoted_cell(text) as case
    when contains(text, '"') then '"' || replace(text, '"', '""') || '"'
    else text
end;
create or replace temp macro text_cell(text) as case
    when text = '' then null
    when regexp_matches(text, '["\x00-\x1f\x7f-\x{9f}\x{2028}\x{2029}]|^[\s\x{a0}\x{3000}=+\-@＝＋－＠]')
        then quoted_cell(guarded(one_line(text)))
    else text
end;
"""


def prepare_cells(published: duckdb.DuckDBPyConnection) -> None:
    """Prepare a connection for `report_rows`: the time zone UTC, the macros for cells, and the labels of the failure codes."""
    published.execute("set timezone = 'UTC'")
    published.execute(CELL_MACROS)
    published.execute(
        "create or replace temp table failure_labels as from read_csv($file, header = true, all_varchar = true)",
        {"file": str(FAILURE_REASONS)},
    )


def header_of(layout: Layout, language: Language) -> list[tuple[TsvColumn, str]]:
    """Return the columns of a layout, each with its header. The headers of the layout `botmaker` are Spanish in every language."""
    if layout is Layout.BOTMAKER:
        return [(column, column.es) for column in ORIGINAL_COLUMNS]
    return [(column, column.header(language)) for column in TSV_COLUMNS]


def report_rows(columns: list[tuple[TsvColumn, str]], where: str, language: Language) -> str:
    """Return the query for the report rows that match `where`, with these columns under these headers.

    Rows are sorted by `sent_at`, then `session_start_id`; a session that a person started has no `sent_at` and comes last. `where` is
    a condition of this package on a session start `s`. The caller binds its values and `$report_timezone`.
    """
    selected = ",\n            ".join(f'{column.sql} as "{header}"' for column, header in columns)
    return f"""
        with starts as (
            select
                s.*,
                case when s.is_not_sent then coalesce(
                    (select label_{language.value} from failure_labels as l where l.failure_code = s.failure_code),
                    (select label_{language.value} from failure_labels as l where l.failure_code = 'unknown')
                ) end as translated_reason
            from fct_session_starts as s
            where s.is_in_report and {where}
        )
        select
            {selected}
        from starts
        order by starts.sent_at nulls last, starts.session_start_id
    """


def write_tsv(
    published: duckdb.DuckDBPyConnection,
    path: Path,
    settings: Settings,
    where: str,
    parameters: dict[str, object],
    language: Language,
    layout: Layout = Layout.STANDARD,
    *,
    bom: bool = False,
) -> int:
    """Write the rows of `report_rows` to a TSV, with a byte order mark if `bom`; return the number of rows."""
    (first, header), *others = header_of(layout, language)
    columns = [(first, f"{_BYTE_ORDER_MARK}{header}" if bom else header), *others]
    row = published.execute(
        f"copy ({report_rows(columns, where, language)}) to {quoted(path)} (format csv, header true, delimiter '\t', quote '', nullstr '')",
        {"report_timezone": settings.report_timezone, **parameters},
    ).fetchone()
    assert row is not None
    return int(row[0])
