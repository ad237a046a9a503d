"""Evidence: the page about a challenger's frozen evidence, kept with its run and as a file."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pipelines.adapters.models import mlflow_registry, registered_versions
from pipelines.adapters.settings import Settings
from pipelines.adapters.stores.whole_files import write_whole
from pipelines.domain.evidence_report import verdict_sentence
from pipelines.domain.verdict import promotable
from pipelines.use_case import UseCase

PAGE_FILE = "evidence/evidence.html"
"""Where the page lies in its run, beside the evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """A page of evidence: what it says in a sentence, its file, and where its run has it.

    ``address`` is below ``reports`` of the home, ``run_page`` below MLflow's address; that is empty
    where the page was not attached.
    """

    version: str
    verdict: str
    promotable: bool
    evidence_digest: str
    page: Path
    address: str
    run_page: str

    def describe(self) -> str:
        """Return two lines for the log and the terminal."""
        return f"{self.verdict}\npage: {self.page}"


def evidence(use_case: UseCase, settings: Settings, *, version: str, attach: bool) -> Paged:
    """Write the page of a version's frozen evidence; attach it to the version's run where asked.

    The page is made from the evidence alone: again gives the same bytes. Raises NotEnoughData for a
    version that was not judged, PromotionRefused where its evidence is not what the ledger says.
    """
    from pipelines.adapters.reports.evidence_page import render

    model, found = registered_versions.judged(settings, use_case.name, version)
    html = render(found)
    address = f"{use_case.name}/evidence/version_{version}.html"
    page = settings.root / "reports" / address
    write_whole(page, html)
    run_page = ""
    if attach:
        mlflow_registry.keep(settings, model.run_id, PAGE_FILE, html)
        experiment = mlflow_registry.experiment_id(settings, model.run_id)
        run_page = f"#/experiments/{experiment}/runs/{model.run_id}/artifacts/{quote(PAGE_FILE)}"
    return Paged(
        version=version,
        verdict=verdict_sentence(found),
        promotable=promotable(found.verdicts),
        evidence_digest=found.digest,
        page=page,
        address=address,
        run_page=run_page,
    )
