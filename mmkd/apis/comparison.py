"""``mmkd compare``: the pictures of several models, and the page that holds them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmkd.visualization.agreement import COLOURS
from mmkd.visualization.compare import Comparison, compare_models
from mmkd.visualization.gain import class_scores, plot_gain
from mmkd.visualization.models import ComparedModel
from mmkd.visualization.page import Picture, Section, Table, Text, write_page

from .errors import UserError

__all__ = ['agreement_table', 'compare']

COLOUR_NAMES = ('green', 'orange', 'blue', 'grey', 'violet', 'white')


def compare(models: Sequence[ComparedModel], options: argparse.Namespace) -> int:
    """Draws the models, and writes the page.

    Args:
        models: From left to right.
        options: Those of ``mmkd compare``, see :mod:`mmkd.apis.commands.compare`.

    Returns:
        The number of pictures.

    Raises:
        UserError: Two models have one title.
        ValueError: Something cannot be drawn; the message names the option or the key.
    """
    titles = [model.title for model in models]
    if len(set(titles)) != len(titles):
        raise UserError(f'--model: each needs a title of its own, got {", ".join(map(repr, titles))}')
    teacher = options.teacher or ('teacher' if 'teacher' in titles and len(titles) > 1 else None)
    out = Path(options.out)
    made = compare_models(
        models,
        out,
        number=options.number,
        score_thr=options.score_thr,
        device=options.device,
        teacher=teacher,
        features=options.features,
        level=options.level,
    )
    sections = [
        Section('Where the students follow the teacher', agreement_table(made)),
        Section('Class by class', _gain(models, teacher, out / 'gain.png', options.device) if options.gain else []),
        Section('Pictures', [Picture(file, file.stem) for file in made.files]),
    ]
    write_page(out / 'index.html', ' / '.join(titles), f'{len(made.files)} images of the test set', sections)
    return len(made.files)


def agreement_table(made: Comparison) -> list[Table | Text]:
    """What the colours of the agreement stand for, and how often each is there; empty without a teacher."""
    if not made.agreement:
        return []
    if all('log_ratio' in counts for counts in made.agreement.values()):
        rows = [(title, f'{counts["log_ratio"] / len(made.files):.3f}') for title, counts in made.agreement.items()]
        return [Table(('student', "mean |log(depth / teacher's depth)|"), rows)]
    shown = {
        name: f'{name} ({colour})'
        for name, colour in zip(COLOURS, COLOUR_NAMES, strict=True)
        if any(counts[name] for counts in made.agreement.values())
    }
    rows = [
        (title, *(f'{100 * counts[name] / max(sum(counts.values()), 1):.1f}%' for name in shown))
        for title, counts in made.agreement.items()
    ]
    about = 'Of the pixels; or of all objects that are there or that either of the two sees. In the images below.'
    return [Table(('student', *shown.values()), rows), Text(about)]


def _gain(models: Sequence[ComparedModel], teacher: str | None, path: Path, device: str) -> list[Table | Picture]:
    """The scores of all models, and the chart of the last student against the one before it."""
    scores = {}
    for model in models:
        name, scores[model.title] = class_scores(model.open(device))
    classes = list(next(iter(scores.values())))
    rows = [(key, *(f'{scores[title][key]:.1f}' for title in scores)) for key in classes]
    rows.append(('mean', *(f'{_mean(scores[title].values()):.1f}' for title in scores)))
    parts: list[Table | Picture] = [Table((f'{name} of class', *scores), rows)]
    students = [model.title for model in models if model.title != teacher]
    if len(students) >= 2:
        plot_gain(scores, students[-2], students[-1], name, path)
        parts.insert(0, Picture(path, f'{students[-1]} against {students[-2]}'))
    return parts


def _mean(values) -> float:
    known = [value for value in values if value == value]  # without classes that do not occur
    return sum(known) / len(known) if known else float('nan')
