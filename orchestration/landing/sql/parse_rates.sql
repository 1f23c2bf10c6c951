-- The lines of rate cards as typed rates (contract, section 5): one row per rate, and one row for a line without any.
-- `orchestration/landing/rate_cards.py` reads the cards; `problem` is the problem of a line, or null.
create or replace temp table parsed_rates as
with parsed as (
    select
        file_index,
        record_number,
        line_number,
        from_json(line, '{
            "record": "VARCHAR", "problem": "VARCHAR",
            "rates": [
                {"effective_from": "DATE", "currency": "VARCHAR", "market": "VARCHAR", "category": "VARCHAR", "rate": "DECIMAL(18, 8)"}
            ]
        }') as card
    from lines
)

select
    file_index,
    record_number,
    line_number,
    card.problem as problem,
    case when card.problem is not null then card.record end as record,
    rate.effective_from as effective_from,
    rate.currency as currency,
    rate.market as market,
    rate.category as category,
    rate.rate as rate
from parsed
cross join lateral unnest(case when len(card.rates) > 0 then card.rates else [null] end) as rates (rate);

create or replace temp view parsed_records as
select distinct file_index, record_number, line_number, problem, record
from parsed_rates;
