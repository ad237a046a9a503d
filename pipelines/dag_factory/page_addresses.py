"""Page addresses: where a browser finds MLflow's pages and those of the home, where a server has them."""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def server(*variables: str) -> str:
    """Return the first of these settings that is an address of a server; empty when none is."""
    for variable in variables:
        address = os.environ.get(variable, "")
        if address.startswith(("http://", "https://")):
            return address.rstrip("/")
    return ""


def mlflow() -> str:
    """Return where a browser finds MLflow: HEADFRAME_MLFLOW_UI, else HEADFRAME_MLFLOW over http."""
    return server("HEADFRAME_MLFLOW_UI", "HEADFRAME_MLFLOW")


def report(page: str) -> str:
    """Return the address of a page of the home's ``reports``; empty without HEADFRAME_REPORTS_UI."""
    address = server("HEADFRAME_REPORTS_UI")
    return f"{address}/{quote(page)}" if address else ""


def evidence(judged: Mapping[str, Any]) -> str:
    """Return the address of the evidence page that the task ``evaluate`` returned.

    It is the page below ``reports`` where a server gives that out, else the one attached to the
    MLflow run; empty where neither has a server, or an earlier release wrote no page.
    """
    if "page" not in judged:
        return ""
    if address := report(judged["page"]):
        return address
    return f"{address}/{judged['run_page']}" if (address := mlflow()) else ""
