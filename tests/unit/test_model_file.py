"""A model's folder: what is read as a model, and what somebody may have put there instead."""

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.adapters.models import model_file
from pipelines.errors import ChampionUnresolved

REPOSITORY = Path(__file__).parents[2]

DESCRIBED = """\
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.skops
  sklearn:
    pickled_model: model.skops
    serialization_format: skops
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the folder of a small model, as MLflow keeps it."""
    import skops.io
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    skops.io.dump(model, tmp_path / "model.skops")
    (tmp_path / "MLmodel").write_text(DESCRIBED)
    (tmp_path / "requirements.txt").write_text("scikit-learn\n")
    return tmp_path


def test_a_model_comes_back_as_it_was_written(tree: Path) -> None:
    assert model_file.read(tree, "model").predict([[0.0], [3.0]]).tolist() == [0, 1]


class Harm:
    """What unpickling it runs."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return Path.touch, (Path("harmed"),)  # type: ignore[return-value]


def pickle_beside(tree: Path) -> None:
    (tree / "model.pkl").write_bytes(pickle.dumps(Harm()))


def pickle_in_a_folder(tree: Path) -> None:
    (tree / "extra").mkdir()
    (tree / "extra" / "model.skops").write_bytes(pickle.dumps(Harm()))


def pickle_in_place(tree: Path) -> None:
    (tree / "model.skops").write_bytes(pickle.dumps(Harm()))


def cloudpickle_described(tree: Path) -> None:
    text = DESCRIBED.replace("serialization_format: skops", "serialization_format: cloudpickle")
    (tree / "MLmodel").write_text(text)


def other_file_described(tree: Path) -> None:
    (tree / "MLmodel").write_text(DESCRIBED.replace("model_path: model.skops", "model_path: m.pkl"))


def tag_described(tree: Path) -> None:
    (tree / "MLmodel").write_text("flavors: !!python/object/apply:os.system [true]\n")


def no_description(tree: Path) -> None:
    (tree / "MLmodel").unlink()


def unknown_type(tree: Path) -> None:
    """Write a type that the model's own list of trusted types names, and the platform's does not."""
    import skops.io
    from sklearn.preprocessing import FunctionTransformer

    skops.io.dump(FunctionTransformer(func=os.system), tree / "model.skops")
    own = DESCRIBED + "    skops_trusted_types:\n    - posix.system\n"
    (tree / "MLmodel").write_text(own)


PARTS = "the files of a model (MLmodel, conda.yaml, model.skops, python_env.yaml, " + (
    "registered_model_meta, requirements.txt)"
)
FORMAT = "a model in skops' format, in model.skops"

ATTACKS: dict[Callable[[Path], None], tuple[str, str]] = {
    pickle_beside: (PARTS, "model.pkl"),
    pickle_in_a_folder: (PARTS, "extra/model.skops"),
    pickle_in_place: ("a whole skops file", "BadZipFile"),
    cloudpickle_described: (FORMAT, "cloudpickle, model.skops"),
    other_file_described: (FORMAT, "m.pkl, model.skops, skops"),
    tag_described: (FORMAT, "no description of one (ConstructorError)"),
    no_description: (FORMAT, "no description of one (FileNotFoundError)"),
    unknown_type: ("types of libraries that are trusted", "posix.system"),
}
"""What is done to the folder -> what was expected and found."""


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_attack_another_payload_than_a_model_is_not_read(
    attack: Callable[[Path], None], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree.parent)
    attack(tree)
    expected, found = ATTACKS[attack]
    with pytest.raises(ChampionUnresolved) as caught:
        model_file.read(tree, "version 1")
    (problem,) = caught.value.problems
    assert (problem.where, problem.expected, problem.found) == ("version 1", expected, found)
    assert not (tree.parent / "harmed").exists()


LOADERS = re.compile(
    r"skops\.io\.loads?\(|\bload_model\(|\b(?:cloud)?pickle\.loads?\(|joblib\.load\(|Unpickler"
)


def test_one_module_alone_reads_models() -> None:
    found = {
        path.relative_to(REPOSITORY).as_posix()
        for folder in ("pipelines", "headframe", "dags", "plugins")
        for path in (REPOSITORY / folder).rglob("*.py")
        if LOADERS.search(path.read_text("utf-8"))
    }
    assert found == {"pipelines/adapters/models/model_file.py"}


def test_the_registry_alone_asks_that_module() -> None:
    found = {
        path.name
        for path in (REPOSITORY / "pipelines").rglob("*.py")
        if "model_file.read(" in path.read_text("utf-8")
    }
    assert found == {"mlflow_registry.py"}


@pytest.mark.parametrize("lack", [MemoryError, ImportError])
def test_what_this_machine_lacks_is_not_said_of_the_file(
    lack: type[Exception], tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise lack

    monkeypatch.setattr("skops.io.load", load)
    with pytest.raises(lack):
        model_file.read(tree, "version 1")
