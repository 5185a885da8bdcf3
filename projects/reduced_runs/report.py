"""What came out of a table: paired differences with their intervals, as markdown and as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from protocol import Run, Table, best_options, final_val, read_log, search_runs, val_curve
from scipy.stats import t as student_t

PICTURES = Path('docs/results/pictures')
CONFIDENCE = 0.95
FLAT = 1.0  # points that the last quarter of the schedule may still gain


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences, and half the width of its interval (None with fewer than two pairs)."""

    mean: float
    half: float | None
    pairs: int

    @property
    def is_gain(self) -> bool:
        return self.half is not None and self.mean - self.half > 0

    @property
    def is_loss(self) -> bool:
        return self.half is not None and self.mean + self.half < 0

    @property
    def verdict(self) -> str:
        return 'gain' if self.is_gain else 'loss' if self.is_loss else 'not shown'


def paired_difference(scores: Sequence[float], baseline: Sequence[float]) -> Difference:
    """The difference of runs that share their seeds, with Student's interval.

    Args:
        scores: One score a seed.
        baseline: The scores of the baseline with the same seeds, in the same order.
    """
    differences = [a - b for a, b in zip(scores, baseline, strict=True)]
    number = len(differences)
    if number < 2:
        return Difference(mean(differences), None, number)
    quantile = student_t.ppf((1 + CONFIDENCE) / 2, number - 1)
    return Difference(mean(differences), float(quantile * stdev(differences) / math.sqrt(number)), number)


def finished_runs(table: Table) -> dict[str, dict[int, list[dict]]]:
    """The logs that are there: arm, seed, records."""
    found = best_options(table)
    runs: dict[str, dict[int, list[dict]]] = {}
    for arm in table.arms:
        each = {seed: table.run(arm, seed, found) for seed in table.seeds_of(arm)}
        runs[arm] = {seed: read_log(run.log) for seed, run in each.items() if run.is_finished()}
    return runs


def check_equal_iterations(table: Table, runs: dict) -> None:
    """Refuses logs that are not equally long.

    Raises:
        SystemExit: Names the lengths that were found.
    """
    lengths = {(arm, log[0]['iterations']) for arm, logs in runs.items() for log in logs.values()}
    if len({length for _, length in lengths}) > 1:
        raise SystemExit(f'{table.name}: unequal budgets in the logs, iterations by arm: {sorted(lengths)}')


def last_quarter(log: Sequence[dict], table: Table) -> float:
    """What the score on val gained after three quarters of the schedule, in points."""
    curve = val_curve(log, table.metric)
    end = log[0]['iterations']
    before = [score for step, score in curve if step <= 0.75 * end]
    return (curve[-1][1] - before[-1]) * table.factor if before else float('nan')


def table_of(table: Table) -> str:
    """The table in markdown."""
    runs = finished_runs(table)
    check_equal_iterations(table, runs)
    scores = {arm: {seed: score_of(log, table) for seed, log in logs.items()} for arm, logs in runs.items()}
    base = scores[table.baseline]
    columns = ['seeds', table.metric, 'difference, paired', f'{CONFIDENCE:.0%} interval', '', 'seconds a run']
    lines = [
        f'| {" | ".join([table.title, *columns])} |',
        '| --- | --- | ---: | ---: | --- | --- | ---: |',
    ]
    teacher = table.teacher and table.teacher_run()
    if teacher and teacher.log.is_file():
        value = score_of(read_log(teacher.log), table)
        lines.append(f'| teacher: {table.teacher.get("label", "")} | | {value:.1f} | | | | |')
    for arm, spec in table.arms.items():
        if not scores[arm]:
            lines.append(f'| {spec.get("label", arm)} | not run | | | | | |')
            continue
        values = scores[arm]
        seeds = ', '.join(map(str, values))
        seconds = mean(log[0]['cpu_seconds'] for log in runs[arm].values())
        row = f'| {spec.get("label", arm)} | {seeds} | {_mean_and_spread(list(values.values()))} |'
        pairs = [seed for seed in values if seed in base]
        if arm == table.baseline or not pairs:
            lines.append(f'{row} | | | {seconds:.0f} |')
            continue
        difference = paired_difference([values[seed] for seed in pairs], [base[seed] for seed in pairs])
        interval = (
            ''
            if difference.half is None
            else (f'{difference.mean - difference.half:+.1f} to {difference.mean + difference.half:+.1f}')
        )
        verdict = f'**{difference.verdict}**' if difference.is_gain else difference.verdict
        lines.append(f'{row} {difference.mean:+.1f} | {interval} | {verdict} | {seconds:.0f} |')
    return '\n'.join([*lines, '', *_notes(table, runs)])


def score_of(log: Sequence[dict], table: Table) -> float:
    """The score on test, in points."""
    return log[-1][table.metric] * table.factor


def _mean_and_spread(values: Sequence[float]) -> str:
    return f'{mean(values):.1f}' + (f' ± {stdev(values):.1f}' if len(values) > 1 else '')


def _notes(table: Table, runs: dict) -> list[str]:
    """What the protocol asks to be said beside the numbers."""
    notes = []
    alone = list(runs[table.baseline].values())
    if alone:
        gains = [last_quarter(log, table) for log in alone]
        flat = 'it is flat' if mean(gains) < FLAT else '**it is not flat yet**'
        if math.isnan(mean(gains)):
            flat = '**no score from before it was taken**'
        notes.append(
            f'{alone[0][0]["iterations"]} iterations in every row. In the last quarter of them {table.baseline} '
            f'gained {mean(gains):+.1f} points on val: {flat}. Seconds are of one core, training and validation.'
        )
    for search in table.searches:
        done = [run for run in search_runs(table, search) if run.is_finished()]
        if done:
            notes.append(_search_note(table, search, done))
    notes += [f'{spec["label"]}: {spec["note"]}' for spec in table.arms.values() if spec.get('note')]
    return notes


def _search_note(table: Table, search: str, done: Sequence[Run]) -> str:
    spec = table.search[search]
    tried = []
    for run in done:
        value = final_val(read_log(run.log), table.metric) * table.factor
        tried.append(f'{run.options[spec["option"]]:g} ({value:.1f})')
    return (
        f'`{spec["option"]}` of {spec["arm"]}, in brackets {table.metric} on val with seed '
        f'{table.search.get("seed", 0)}: {", ".join(tried)}.'
    )


def write_report(table: Table) -> None:
    """Writes the table into its page, between its markers, and the picture beside.

    Raises:
        SystemExit: The page has no such markers.
    """
    content = table_of(table)
    print(content)
    picture = PICTURES / f'{table.name}.png'
    draw(table, picture)
    page = Path(table.page)
    begin, end = f'<!-- table {table.name}: begin -->', f'<!-- table {table.name}: end -->'
    text = page.read_text() if page.is_file() else ''
    if begin not in text or end not in text:
        raise SystemExit(f'{page}: the lines "{begin}" and "{end}" were expected, for the table to be written between')
    head, rest = text.split(begin)
    content += f'\n\n![{table.title}: curves and differences](pictures/{picture.name})'
    page.write_text(f'{head}{begin}\n{content}\n{end}{rest.split(end)[1]}')


def draw(table: Table, path: Path) -> None:
    """Curves on val on the left, paired differences and their intervals on the right."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    runs = {arm: logs for arm, logs in finished_runs(table).items() if logs}
    if not runs:
        return
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4), layout='constrained')
    colors = dict(zip(table.arms, pyplot.cm.tab10.colors * 3, strict=False))
    base = {seed: score_of(log, table) for seed, log in runs.get(table.baseline, {}).items()}
    rows = []
    for arm, logs in runs.items():
        label = table.arms[arm].get('label', arm)
        curves = [val_curve(log, table.metric) for log in logs.values()]
        steps = [step for step, _ in curves[0]]
        values = [mean(score for _, score in points) * table.factor for points in zip(*curves, strict=False)]
        left.plot(steps[: len(values)], values, marker='.', color=colors[arm], label=label)
        pairs = [seed for seed in logs if seed in base]
        if arm != table.baseline and pairs:
            rows.append((arm, label, [score_of(logs[seed], table) - base[seed] for seed in pairs]))
    for row, (arm, _, values) in enumerate(rows):
        right.plot(values, [row] * len(values), 'o', color=colors[arm], alpha=0.4)
        difference = paired_difference(values, [0.0] * len(values))
        right.errorbar(difference.mean, row, xerr=difference.half, fmt='s', color=colors[arm], capsize=4)
    left.set(xlabel='iterations', ylabel=f'{table.metric} on val', title=table.title)
    left.legend(fontsize=8)
    right.axvline(0, color='gray', linewidth=1)
    right.set_yticks(range(len(rows)), [label for _, label, _ in rows], fontsize=8)
    right.set(xlabel=f'points of {table.metric} on test over {table.baseline}, same seed', ylim=(len(rows) - 0.5, -0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100, metadata={'Software': None})
    pyplot.close(figure)
