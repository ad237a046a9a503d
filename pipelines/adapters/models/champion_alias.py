"""The champion's alias: what MLflow publishes of the ledger's champion, and the anchor beside it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipelines.adapters.failpoints import failpoint
from pipelines.adapters.models import mlflow_client, mlflow_registry
from pipelines.adapters.models.mlflow_registry import ModelVersion
from pipelines.adapters.settings import Settings
from pipelines.domain.decision import Anchor

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION = "champion"

ANCHOR = "headframe.ledger"
"""Tag of a copy: ``<sequence>:<digest>`` of the newest ledger entry when it was published."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A version of the registered model ``use_case``: a candidate's copy, as MLflow shows it."""

    version: str
    run_id: str
    source: str
    artifact_sha256: str
    anchor: Anchor | None

    def is_of(self, use_case: str, wanted: ModelVersion) -> bool:
        """Tell whether it is what publishing that candidate makes."""
        return (self.run_id, self.source, self.artifact_sha256) == (
            wanted.run_id,
            _source(use_case, wanted.version),
            wanted.artifact_sha256,
        )


def publish(
    settings: Settings, use_case: str, wanted: ModelVersion, anchor: Anchor, *, verb: str
) -> str:
    """Copy a candidate to the registered model ``use_case``, once, and point the alias at it.

    The copy is tagged with the anchor first. ``verb`` names the failpoint. Returns the copy's
    version.
    """
    client = mlflow_client.client(settings)
    mine = [copy for copy in copies(settings, use_case) if copy.is_of(use_case, wanted)]
    if mine:
        version = mine[0].version
    else:
        made = client.copy_model_version(_source(use_case, wanted.version), use_case)
        version = str(made.version)
    _tag(client, use_case, version, anchor)
    failpoint(f"{verb}.between_copy_and_alias")
    client.set_registered_model_alias(use_case, CHAMPION, version)
    return version


def standing(settings: Settings, use_case: str) -> Copy | None:
    """Return the copy that the champion alias points at; None without one."""
    from mlflow.exceptions import MlflowException

    try:
        found = mlflow_client.client(settings).get_model_version_by_alias(use_case, CHAMPION)
    except MlflowException as error:
        if not mlflow_client.missing(error):
            raise mlflow_client.unavailable(error) from error
        return None
    return _copy(found)


def copies(settings: Settings, use_case: str) -> list[Copy]:
    """Return every copy that was published for a use case, oldest first."""
    return sorted(_search(settings, f"name = '{use_case}'"), key=lambda copy: int(copy.version))


def anchors(settings: Settings) -> list[Anchor]:
    """Return what was published of the ledger, on the copies of every use case."""
    found = _search(settings, f"tags.`{ANCHOR}` != ''")
    return [copy.anchor for copy in found if copy.anchor is not None]


def anchor(settings: Settings, use_case: str, version: str, newest: Anchor) -> None:
    """Publish the ledger's newest entry on a copy."""
    _tag(mlflow_client.client(settings), use_case, version, newest)


def remove(settings: Settings, use_case: str) -> None:
    """Take the champion alias away."""
    mlflow_client.client(settings).delete_registered_model_alias(use_case, CHAMPION)


def _search(settings: Settings, where: str) -> Iterator[Copy]:
    client, token = mlflow_client.client(settings), None
    while True:
        page = client.search_model_versions(where, page_token=token)
        yield from map(_copy, page)
        token = page.token
        if not token:
            return


def _source(use_case: str, version: str) -> str:
    return f"models:/{mlflow_registry.candidates_name(use_case)}/{version}"


def _tag(client: "MlflowClient", use_case: str, version: str, newest: Anchor) -> None:
    client.set_model_version_tag(use_case, version, ANCHOR, f"{newest.sequence}:{newest.digest}")


def _copy(found: Any) -> Copy:  # noqa: ANN401 - untyped library
    sequence, _, digest = str(found.tags.get(ANCHOR, "")).partition(":")
    return Copy(
        version=str(found.version),
        run_id=str(found.run_id),
        source=str(found.source),
        artifact_sha256=str(found.tags.get("headframe.artifact_sha256", "")),
        anchor=Anchor(int(sequence), digest) if sequence.isdecimal() and int(sequence) else None,
    )
