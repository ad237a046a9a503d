"""Returned orders: a small entity, the table of its labels, and what becomes of them."""

from datetime import timedelta

from pipelines.domain.contract import Column, Files, Table
from pipelines.domain.labels import Label

FINAL_AFTER_HOURS = 2

orders = Table(
    name="orders",
    source=Files(pattern="orders/*.csv"),
    columns=[
        Column("item", "string"),
        Column("sold_at", "timestamp[UTC]"),
        Column("price", "int64", nullable=True),
    ],
    key=("item",),
    event_time="sold_at",
)
returns = Table(
    name="returns",
    source=Files(pattern="returns/*.csv"),
    columns=[Column("item", "string"), Column("days", "int64", nullable=True)],
    key=("item",),
)
label = Label(
    name="late",
    table=returns,
    rule="days > 3",
    expected_after=timedelta(hours=1),
    final_after=timedelta(hours=FINAL_AFTER_HOURS),
)
