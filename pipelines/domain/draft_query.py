"""Draft query: the SQL of a first feature view, whatever its columns are called.

Every name of a table or column is quoted. Names of the query's own begin with an underscore, which
no table and no column of a contract does.
"""

from collections.abc import Sequence

from pipelines.domain.draft_features import DraftView, rate_name

DAYS = 28
"""Days of final labels that a trailing rate looks back on."""

STEADY = 10
"""Imaginary rows at the overall rate, which steady the small groups."""


def feature_query(view: DraftView, *, entities: str, key: Sequence[str], label: str) -> list[str]:
    """Return the lines of the query over ``asked``, ``labels`` and tables; none is indented yet."""
    names = ", ".join(f'"{name}"' for name in key)
    lines = []
    if view.rates:
        levels = ", ".join(f'e."{name}"' for name in view.rates)
        lines += [
            f"with _past as (  -- final labels of the last {DAYS} days that have them",
            f'    select l."{label}"::int as _happened, {levels}',
            f'    from labels l join "{entities}" e using ({names})',
            f"    where l.event_time >= (select max(event_time) from labels) - interval {DAYS} days",  # noqa: S608 - names of a contract, quoted
            "),",
        ]
        for number, name in enumerate(view.rates, start=1):
            last = number == len(view.rates)
            lines += [
                f"_rate_{number} as (  -- {STEADY} imaginary rows at the overall rate steady it",
                f'    select "{name}" as _level,',
                f"           (sum(_happened) + {STEADY} * (select avg(_happened) from _past))",  # noqa: S608 - as above
                f"           / (count(*) + {STEADY}) as _rate",
                f'    from _past group by "{name}"',
                ")" if last else "),",
            ]
    selected = [f'a."{name}"' for name in key]
    selected += [f'{feature.sql} as "{feature.name}"' for feature in view.features]
    selected += [
        f'_rate_{number}._rate as "{rate_name(name)}"' for number, name in enumerate(view.rates, 1)
    ]
    lines += [
        f"{'select' if number == 0 else '      '} {column}{',' if number < len(selected) - 1 else ''}"
        for number, column in enumerate(selected)
    ]
    lines.append("from asked a")
    for table in view.joined:
        on = " and ".join(f'_{table.name}."{name}" = a."{name}"' for name in table.key)
        lines.append(f'left join "{table.name}" _{table.name} on {on}')
    lines += [
        f'left join _rate_{number} on _rate_{number}._level = a."{name}"'
        for number, name in enumerate(view.rates, 1)
    ]
    return lines
