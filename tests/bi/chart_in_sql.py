"""The query that Superset sends to DuckDB for a chart: its stored query over its dataset, as SQL."""

import json
from typing import Any

Selected = list[tuple[str, list[str]]]


def source_of(dataset: dict[str, Any]) -> str:
    """Return SQL for the dataset's rows with its calculated columns."""
    calculated = "".join(f', {column["expression"]} as "{column["column_name"]}"' for column in dataset["columns"] if column["expression"])
    return f"(select *{calculated} from ({dataset['sql']}))"


def conditions_of(filters: list[dict[str, Any]], selected: Selected, period: str | None) -> str:
    """Return a chart's own filters and those of the filter bar as one condition. A period is `first day : day after the last`."""
    conditions = ["true"]
    for part in filters:
        if part["op"] == "TEMPORAL_RANGE":
            first, end = (period or " : ").split(" : ")
            conditions += [f"{part['col']} >= date '{first}' and {part['col']} < date '{end}'"] if period else []
        else:
            value = {str: "'{}'", int: "{}"}[type(part["val"])].format(part["val"]) if "val" in part else ""
            conditions.append(f"{part['col']} {part['op']} {value}")
    conditions += [f"{column} in ({', '.join(_literal(value) for value in values)})" for column, values in selected]
    return " and ".join(conditions)


def chart_sql(chart: dict[str, Any], dataset: dict[str, Any], selected: Selected, period: str | None) -> str:
    """Return the SQL of a chart's first query under the dashboard's filters: columns, metrics, then the shares of metrics.

    Of the post-processing steps only shares are computed: the others turn rows into series, or rank cells for their colours.
    """
    query = json.loads(chart["query_context"])["queries"][0]
    metrics = {metric["metric_name"]: metric["expression"] for metric in dataset["metrics"]}
    columns = [_axis(column) if isinstance(column, dict) else column for column in query["columns"]]
    values = [metrics[name] for name in query.get("metrics", [])]
    shares = [
        name for step in query.get("post_processing", []) if step["operation"] == "contribution" for name in step["options"]["columns"]
    ]
    shown = [*columns, *values, *(f"{metrics[name]} / sum({metrics[name]}) over ()" for name in shares)]
    grouping = f"group by {', '.join(columns)}" if values and columns else ""
    return f"select {', '.join(shown)} from {source_of(dataset)} where {conditions_of(query['filters'], selected, period)} {grouping}"


def metric_sql(metric: dict[str, Any], dataset: dict[str, Any], selected: Selected, period: str | None) -> str:
    """Return the SQL of one metric of a dataset under the dashboard's filters."""
    time = {"col": dataset["main_dttm_col"], "op": "TEMPORAL_RANGE"}
    return f"select {metric['expression']} from {source_of(dataset)} where {conditions_of([time], selected, period)}"


def _axis(column: dict[str, Any]) -> str:
    name = column["sqlExpression"]
    return f"date_trunc('day', {name})::timestamp" if column.get("timeGrain") == "P1D" else name


def _literal(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
