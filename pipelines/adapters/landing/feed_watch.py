"""Feed watch: what is wrong with the deliveries of one table, by what the lake knows of them."""

from datetime import UTC, date, datetime, time

from pipelines.adapters.landing.delivery_counts import arrived
from pipelines.adapters.landing.extracts import last_asked
from pipelines.adapters.landing.feed_ledger import waited_for_since
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Files, Table
from pipelines.domain.feed_slots import expects, slots
from pipelines.domain.feeds import FeedFinding, findings


def watch(
    settings: Settings,
    use_case: str,
    table: Table,
    *,
    owner: str,
    as_of: datetime,
    ends_before: str | None = None,
) -> tuple[FeedFinding, ...]:
    """Return what is wrong with the feed at ``as_of``; nothing of a table that lands once.

    Nothing is expected from the ISO date ``ends_before`` on. A source that was asked and had
    nothing new is not missing.
    """
    if not expects(table):
        return ()
    deliveries = arrived(settings, use_case, table)
    came = any(delivery.delivered_at <= as_of for delivery in deliveries)
    asked = None if isinstance(table.source, Files) else last_asked(settings, use_case, table)
    until = datetime.combine(date.fromisoformat(ends_before), time(0), UTC) if ends_before else None
    expected = slots(
        table,
        deliveries,
        as_of=as_of,
        watched_since=None if came else waited_for_since(settings, use_case, table.name, as_of),
        until=until,
        asked_at=asked.at if asked else None,
    )
    return findings(table, expected, use_case=use_case, owner=owner, as_of=as_of)
