"""The part writer: feature rows of one share into files of predictions and of refused rows."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.adapters import lake
from pipelines.adapters.delta import delta_tables
from pipelines.adapters.models import champion as champions
from pipelines.adapters.models import feature_batches, prediction_store
from pipelines.adapters.models.champion import Champion
from pipelines.adapters.models.prediction_files import prediction_file
from pipelines.adapters.settings import Settings
from pipelines.adapters.threads import one_thread
from pipelines.domain.business_rules import BusinessRule
from pipelines.domain.expected_value import EXPECTED, VALUE, Value
from pipelines.domain.features import EVENT_TIME
from pipelines.domain.kind_problems import value_problem
from pipelines.domain.predicted import Predicted, predict
from pipelines.domain.probe import Scorer
from pipelines.domain.promises import Promise, count_broken
from pipelines.domain.scoring import ScoredPart, ScoredShare, ScorePlan, Share
from pipelines.errors import DeclarationError

if TYPE_CHECKING:
    from pipelines.adapters.models.prediction_files import Value as Cells


def write_part(
    settings: Settings,
    plan: ScorePlan,
    part: int,
    *,
    key: Sequence[str],
    champion: Champion,
    rules: Sequence[BusinessRule],
    promises: Sequence[Promise],
    value: Value | None,
) -> ScoredPart:
    """Predict one part of a plan on one thread, each of its shares as ``write`` does."""
    with one_thread():
        scorer = champions.scorer(settings, plan.use_case, champion)
        shares = tuple(
            write(
                settings,
                plan,
                share,
                key=key,
                champion=champion,
                scorer=scorer,
                rules=rules,
                promises=promises,
                value=value,
            )
            for share in plan.parts[part]
        )
    return ScoredPart(part=part, shares=shares)


def write(
    settings: Settings,
    plan: ScorePlan,
    share: Share,
    *,
    key: Sequence[str],
    champion: Champion,
    scorer: Scorer,
    rules: Sequence[BusinessRule],
    promises: Sequence[Promise],
    value: Value | None = None,
) -> ScoredShare:
    """Predict the rows of a share batch by batch, and write them into files no reader sees yet.

    The files lie in the folders of the prediction table and of the refused rows; those of a share
    that fails are removed. Every row is in exactly one file. Memory does not grow with the rows.
    With a ``value`` rows also tell it and the expected value; DeclarationError where no feature has
    its name.
    """
    import pyarrow as pa

    folder, window = (
        lake.features(settings, plan.use_case, plan.features),
        plan.windows[share.window],
    )
    schema = delta_tables.schema(folder)
    fields = [schema.field(name) for name in key]
    worth = [] if value is None else [value.column]
    if value is not None and value.column not in schema.names:
        raise DeclarationError(value_problem(f"scoring of {plan.use_case}", value, schema.names))
    told = _told(plan, share, champion)
    refused: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    rows = 0
    with (
        prediction_file(
            lake.predictions(settings, plan.use_case, plan.slot),
            prediction_store.layout(fields, valued=value is not None).in_files,
            scored_for=window.scored_for,
        ) as predictions,
        prediction_file(
            lake.refused_predictions(settings, plan.use_case, plan.slot),
            prediction_store.refused_layout(fields).in_files,
            scored_for=window.scored_for,
        ) as aside,
    ):
        for batch in feature_batches.batches(
            folder,
            share.units,
            columns=list(dict.fromkeys([*key, EVENT_TIME, *scorer.columns.all, *worth])),
            dictionaries=scorer.dictionaries,
            as_of=window.as_of,
        ):
            rows += batch.num_rows
            found = predict(
                pa.Table.from_batches([batch]), scorer, rules, value=worth[0] if worth else None
            )
            broken.update(count_broken(promises, found.prediction))
            predictions.add(
                found.rows,
                {
                    **told,
                    "raw_prediction": found.raw,
                    "prediction": found.prediction,
                    "rule": found.rule,
                    **_valued(found),
                },
            )
            refused.update(found.reasons.to_pylist())
            aside.add(found.refused, {**told, "reason": found.reasons, "run": plan.run})
        files, set_aside = predictions.finish(), aside.finish()
    return ScoredShare(
        window=share.window,
        rows=rows,
        scored=sum(file.rows for file in files),
        refused=dict(sorted(refused.items())),
        files=files,
        refused_files=set_aside,
        broken=dict(broken),
    )


def _valued(found: Predicted) -> "dict[str, Cells]":
    """Return what each row of a ranking is worth, and by the final prediction is to be expected."""
    if found.value is None:
        return {}
    return {VALUE: found.value, EXPECTED: found.prediction * found.value}


def _told(plan: ScorePlan, share: Share, champion: Champion) -> "dict[str, Cells]":
    """Return what is the same in every row: times, and everything a prediction is traced by."""
    window, model = plan.windows[share.window], champion.model
    return {
        "scored_for": window.scored_for,
        "as_of": window.as_of,
        "slot": plan.slot,
        "model_version": model.version,
        "model_run": model.run_id,
        "artifact_sha256": model.artifact_sha256,
        "evidence_digest": champion.promoted.evidence_digest,
        "feature_digest": plan.features,
        "declaration_digest": plan.declaration,
        "stale_tables": ",".join(window.stale),
    }
