"""GX results: what Great Expectations is asked for, and what it then says of each check."""

from typing import TYPE_CHECKING, Any

from benchmarks.quality_peers.suite import AGGREGATES, PARTS, ROW, entries, told

if TYPE_CHECKING:
    import duckdb

RESULT_FORMATS: dict[str, dict[str, Any]] = {
    "counted": {"result_format": "BASIC", "partial_unexpected_count": 0},
    "listed": {
        "result_format": "COMPLETE",
        "partial_unexpected_count": 0,
        "unexpected_index_column_names": [ROW],
        "exclude_unexpected_values": True,
    },
}
"""The least GX can be asked for that tells how many rows fail, and the least that names them all."""


def judged(
    batch: Any,  # noqa: ANN401 - GX's
    part: str,
    detail: str,
    connection: "duckdb.DuckDBPyConnection | None" = None,
) -> dict[str, Any]:
    """Return the answer of a batch, in SQL with the ``connection`` to its rows.

    Raises MemoryError where the rows do not fit.
    """
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    expectations = [
        ExpectationConfiguration(
            type=entry["type"], kwargs=entry["kwargs"], meta={"name": name}
        ).to_domain_obj()
        for name, entry in zip(PARTS[part], entries(part, "counted"), strict=True)
    ]
    suite = ExpectationSuite(name="benchmark", expectations=expectations)
    validation = batch.validate(suite, result_format=RESULT_FORMATS[detail])
    found = {result.expectation_config.meta["name"]: result for result in validation.results}
    answer: dict[str, Any] = {"checks": {name: _told(name, found[name]) for name in PARTS[part]}}
    if detail == "listed":
        rows = {name: _rows(found[name], connection) for name in PARTS[part]}
        answer["listed"] = {name: [len(of), int(sum(of))] for name, of in rows.items() if of}
    return answer


def _told(name: str, found: Any) -> dict[str, Any]:  # noqa: ANN401 - GX's result
    # GX catches every exception of a check, and tells it in one of two shapes.
    raised = str(found.exception_info)
    if "MemoryError" in raised:
        raise MemoryError
    if "'raised_exception': True" in raised:
        raise RuntimeError(f"{name} was not evaluated")
    result = found.result
    if name in AGGREGATES:
        return told(found.success, None, None, float(result["observed_value"]))
    evaluated = result["element_count"] - result.get("missing_count", 0)
    return told(found.success, evaluated, result["unexpected_count"])


def _rows(found: Any, connection: "duckdb.DuckDBPyConnection | None") -> list[int]:  # noqa: ANN401 - GX's result
    """Return the numbers of the failing rows.

    In SQL GX lists no more of them than samples, at most 200, and gives the query of all.
    """
    result = found.result
    if not result.get("unexpected_count"):
        return []
    if connection is None:
        (places,) = result["unexpected_index_list"]
        return list(places[ROW])
    query = result["unexpected_index_query"].rstrip(";\n ")
    rows = connection.sql(f"SELECT {ROW} FROM ({query})").to_arrow_table()  # noqa: S608 - GX's own
    return list(rows[ROW].to_pylist())
