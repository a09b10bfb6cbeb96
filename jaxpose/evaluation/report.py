"""The report folder: scores, results, and where the network does worst."""

import dataclasses
import html
import json
import math
import pathlib
from typing import Any

from ml_collections import ConfigDict

from jaxpose import annotations, metrics
from jaxpose.evaluation import worst as worst_cases
from jaxpose.evaluation.scores import Evaluation, annotation_file
from jaxpose.files import write_atomic

Table = list[list[str]]  # first row: column names


@dataclasses.dataclass(frozen=True)
class Report:
    """What eval.py prints and writes; `joints` is the table by joint."""

    evaluation: Evaluation
    scores: Table
    joints: Table
    worst: list[worst_cases.Case]


def make_report(
    evaluation: Evaluation, truth: annotations.Dataset, config: ConfigDict, worst: int
) -> Report:
    """Tables and the `worst` people (bottom-up: pictures) of an evaluation."""
    values = evaluation.metrics
    if config.eval.metric == "mpii":
        shown = {name: f"{value:.2f}" for name, value in values.items()}
    else:  # as the papers print them: AP and AR x100
        shown = {k: f"{v if '@' in k else 100 * v:.2f}" for k, v in values.items()}
        shown |= {k: "-" for k, v in values.items() if v == -1}
    scores = [list(shown), list(shown.values())]
    cases = worst_cases.find(evaluation, worst)
    return Report(evaluation, scores, _by_joint(evaluation, truth, config), cases)


def _by_joint(evaluation: Evaluation, truth: annotations.Dataset, config: ConfigDict) -> Table:
    if config.eval.metric == "mpii":
        return []  # the scores are by joint already
    compared, skeleton = evaluation.compared, truth.skeleton
    with annotation_file(truth, evaluation.predictions, limited=config.data.limit > 0) as file:
        found = metrics.per_keypoint(file, evaluation.results, skeleton.sigmas)
    pck: dict[str, float] = {}
    if skeleton.torso is not None and compared is not None:
        pck = metrics.pck_torso(compared.predicted, compared.joints, compared.labelled, skeleton)
    rows = [["joint", "similarity", "OKS>=.5 %", "labelled", "missed"] + ["PCK@0.2"] * bool(pck)]
    for name, values in found.items():
        row = [name, f"{values['similarity']:.3f}", f"{100 * values['correct']:.1f}"]
        row += [str(values["count"] + values["missed"]), str(values["missed"])]
        if pck:
            row.append(f"{pck[name]:.1f}")
        rows.append(row)
    return rows


def as_text(table: Table) -> str:
    """A table in columns."""
    if not table:
        return ""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in table
    )


# --- files ---------------------------------------------------------------------------------------


def write(
    folder: pathlib.Path,
    report: Report,
    truth: annotations.Dataset,
    *,
    title: str,
    settings: dict[str, Any],
) -> None:
    """Writes metrics.json, results.json, index.html and pictures of the worst cases.

    Raises:
        ValueError: a drawing cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = report.evaluation
    # JSON has no NaN: a score without a labelled joint is null.
    finite = {k: v if math.isfinite(v) else None for k, v in evaluation.metrics.items()}
    content = {"title": title, "metrics": finite, "notes": evaluation.notes, **settings}
    write_atomic(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    write_atomic(folder / "results.json", json.dumps(evaluation.results))
    pictures, unread = worst_cases.write(folder, report.worst, truth)
    write_atomic(folder / "index.html", _page(title, report, pictures, unread))


_STYLE = """body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;
border-bottom:1px solid #ccc}figure{display:inline-block;margin:.5em;vertical-align:top}
figcaption{font-size:12px;max-width:26em}"""


def _page(title: str, report: Report, pictures: list[tuple[str, str]], unread: list[str]) -> str:
    def rows(table: Table) -> str:
        lines = []
        for number, row in enumerate(table):
            tag = "td" if number else "th"
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        return f"<table>{''.join(lines)}</table>" if lines else ""

    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report.evaluation.notes)
    figures = "".join(
        f'<figure><img src="{name}" alt=""><figcaption>{html.escape(text)}</figcaption></figure>'
        for name, text in pictures
    )
    lacking = (
        f"<p>{len(unread)} of the {len(report.worst)} worst are not drawn, their pictures cannot "
        f"be read: {html.escape(', '.join(unread))}</p>"
    )
    worst = "<h2>The worst (left: annotation, right: prediction)</h2>" + figures
    worst += lacking if unread else ""
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{notes}{rows(report.scores)}"
        f"{'<h2>By joint</h2>' if report.joints else ''}{rows(report.joints)}"
        f"{worst if figures or unread else ''}\n"
    )
