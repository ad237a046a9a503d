"""Model file: the only place where a fitted model is read; skops of trusted types, nothing else."""

from pathlib import Path
from typing import Any

from pipelines.adapters.models.trusted_types import TRUSTED_TYPES
from pipelines.errors import ChampionUnresolved, Problem

MODEL = "model.skops"

DESCRIPTION = "MLmodel"
"""MLflow's description of a model, in YAML."""

PARTS = frozenset(
    {
        MODEL,
        DESCRIPTION,
        "conda.yaml",
        "python_env.yaml",
        "requirements.txt",
        "registered_model_meta",
    }
)
"""Every file that a model's folder may hold; any other is no part of it, a pickle least of all."""

FIX = "Nothing is loaded. Restore the files, or train and promote another version."


def strangers(tree: Path) -> list[str]:
    """Return the files of a model's folder that are no part of a model, sorted."""
    names = (path.relative_to(tree).as_posix() for path in tree.rglob("*") if not path.is_dir())
    return sorted(name for name in names if name not in PARTS)


def read(tree: Path, where: str) -> Any:  # noqa: ANN401 - any library's estimator
    """Return the fitted model of a folder whose digest was verified.

    Raises ChampionUnresolved where there are files beside a model's own, where MLflow's description
    names another format than skops, and where the file is damaged or holds a type that is not on
    the platform's own list. The list in the description is the model's, and decides nothing. What
    this machine lacks, memory or a library, is raised as it is.
    """
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    if found := strangers(tree):
        raise _refused(
            where, f"the files of a model ({', '.join(sorted(PARTS))})", ", ".join(found)
        )
    formats = _formats(tree / DESCRIPTION)
    if formats != {"skops", MODEL}:
        raise _refused(where, f"a model in skops' format, in {MODEL}", ", ".join(sorted(formats)))
    try:
        return skops.io.load(tree / MODEL, trusted=list(TRUSTED_TYPES))
    except UntrustedTypesFoundException:
        named = set(skops.io.get_untrusted_types(file=tree / MODEL)) - set(TRUSTED_TYPES)
        raise _refused(
            where, "types of libraries that are trusted", ", ".join(sorted(named)[:3])
        ) from None
    except (MemoryError, ImportError):
        raise  # of this machine, and says nothing about the file
    except Exception as error:
        # Whatever a file that was made to harm raises: its text stays out of the message.
        raise _refused(where, "a whole skops file", type(error).__name__) from error


def _formats(description: Path) -> set[str]:
    """Return the formats and files that MLflow's description names; what is no such text, as none."""
    import yaml

    try:
        told = yaml.safe_load(description.read_text("utf-8"))["flavors"]
        sklearn, python = told["sklearn"], told["python_function"]
        named = {sklearn["serialization_format"], sklearn["pickled_model"], python["model_path"]}
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        return {f"no description of one ({type(error).__name__})"}
    return {str(name) for name in named}


def _refused(where: str, expected: str, found: str) -> ChampionUnresolved:
    return ChampionUnresolved(Problem(where=where, expected=expected, found=found, fix=FIX))
