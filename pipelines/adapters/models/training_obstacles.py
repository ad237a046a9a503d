"""Training obstacles: why nothing may be learned now: broken data, a champion that is not sound."""

from collections.abc import Iterable
from datetime import datetime

from pipelines.adapters.landing.feed_watch import watch
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import monitoring_ledger
from pipelines.adapters.platform import incident_ledger
from pipelines.adapters.settings import Settings
from pipelines.domain.contract import Table
from pipelines.domain.monitored import Standing, standing
from pipelines.domain.retrain_causes import broken_data
from pipelines.domain.scoring_times import ScoringTimes
from pipelines.errors import ChampionUnresolved


def alarms(
    settings: Settings, use_case: str, version: str, *, times: ScoringTimes, as_of: datetime
) -> tuple[str, list[Standing]]:
    """Return the newest judged block of a model version ("": none), and the alarms that stand.

    Blocks are those up to the local day of ``as_of``, which may be another than the UTC one.
    """
    newest = times.block_name(as_of)
    judged = [
        one
        for one in monitoring_ledger.read(settings, use_case, model_version=version)
        if one.block <= newest
    ]
    return max((one.block for one in judged), default=""), standing(judged, times.block)


def obstacles(
    settings: Settings,
    use_case: str,
    *,
    tables: Iterable[Table],
    owner: str,
    times: ScoringTimes,
    as_of: datetime,
    ends_before: str | None = None,
) -> tuple[str, ...]:
    """Return why nothing may be learned, or judged, at ``as_of``, a sentence each; none is empty.

    Feeds are looked at here, too: an incident about one waits for the next ingest.
    """
    champion = champions.told_of(settings, use_case).champion
    standing_now: list[Standing] = []
    if champion is not None:
        _, standing_now = alarms(settings, use_case, champion.version, times=times, as_of=as_of)
    findings = (
        finding
        for table in tables
        for finding in watch(
            settings, use_case, table, owner=owner, as_of=as_of, ends_before=ends_before
        )
    )
    incidents = incident_ledger.incidents(settings).values()
    found = list(broken_data(use_case, incidents, standing_now, findings))
    try:
        champions.resolve(settings, use_case)
    except ChampionUnresolved as error:
        found.append(f"the champion is not sound: {str(error.problems[0]).splitlines()[0]}")
    return tuple(found)
