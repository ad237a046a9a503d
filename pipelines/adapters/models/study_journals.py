"""Study journals: the files of searches on this host, and those that nobody needs any more."""

from pathlib import Path

from pipelines.adapters.models import data_pins, mlflow_registry, search_record
from pipelines.adapters.models.studies import journal
from pipelines.adapters.settings import Settings


def ended(settings: Settings, *, before: float) -> list[Path]:
    """Return the journals, and their locks, of searches that came to a registered candidate.

    Only those that nobody has written to since ``before`` (seconds since the epoch): a search goes on
    from its journal until its candidate is registered, and the run keeps all its trials. A search
    that was given up keeps its journal. Raises ServiceUnavailable when MLflow does not answer.
    """
    old = [
        path
        for path in sorted((settings.root / "studies").glob("*/*.journal"))
        if path.stat().st_mtime < before
    ]
    if not old or not data_pins.has_registry(settings):
        return []
    registered = {
        journal(settings, version.tags["headframe.use_case"], key)
        for version in mlflow_registry.registered(settings)
        if (key := version.tags.get(search_record.STUDY))
    }
    done = [path for path in old if path in registered]
    locks = (path.with_suffix(".lock") for path in done)
    return [*done, *(path for path in locks if path.exists())]
