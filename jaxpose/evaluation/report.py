"""The report folder: metrics, results, and the cases with the lowest similarity."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import pathlib
import tempfile
from collections.abc import Iterable
from typing import Any, Protocol

from jaxpose import metrics, tables
from jaxpose.annotations import Dataset
from jaxpose.evaluation.analysis import Analysis, Table, analyze
from jaxpose.evaluation.figures import NAMES, draw_figures
from jaxpose.evaluation.results import submission_name
from jaxpose.evaluation.worst import DRAWINGS, draw_cases
from jaxpose.files import Location, check_outputs, write_atomic
from jaxpose.remote import RemotePath
from jaxpose.tasks.scoring import Case, Evaluation

_REPLACED = (*NAMES, "analysis.json")  # removed if a new report does not have them


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of the report.

    Attributes:
      evaluation: metrics and results.
      scores: table of the metrics.
      keypoints: table per keypoint; empty if the metrics are per keypoint.
      analysis: where the errors are; None if the metric is not by OKS.
      worst: the cases with the lowest similarity.
    """

    evaluation: Evaluation
    scores: Table
    keypoints: Table
    analysis: Analysis | None
    worst: list[Case]

    def as_text(self) -> str:
        """Returns notes and tables as text for the terminal."""
        parts = ["\n".join([*self.evaluation.notes, tables.text(self.scores)])]
        if self.keypoints:
            parts.append(tables.text(self.keypoints))
        if self.analysis:
            parts.append(tables.text(self.analysis.size_table()))
            parts.append(tables.text(self.analysis.error_table(by_keypoint=False)))
        return "\n\n".join(parts)


class Ranking(Protocol):
    """Selects the worst cases: a task, or `tasks.whole_images` for a results file."""

    def worst_cases(self, evaluation: Evaluation, count: int) -> list[Case]:
        """See `Task.worst_cases`."""
        ...


def make_report(
    evaluation: Evaluation, dataset: Dataset, task: Ranking, metric: str, worst: int
) -> Report:
    """Makes the tables of an evaluation and selects the worst people (bottom-up: images).

    Args:
      evaluation: from `task.evaluate`.
      dataset: the annotations.
      task: selects the worst cases.
      metric: `config.eval.metric`.
      worst: number of worst cases.
    """
    values = evaluation.metrics
    if metric == "mpii":
        shown = {name: f"{value:.2f}" for name, value in values.items()}
    else:  # AP and AR times 100, as in the papers
        shown = {k: f"{v if '@' in k else 100 * v:.2f}" for k, v in values.items()}
        shown |= {k: "-" for k, v in values.items() if v == -1}
    scores = [list(shown), list(shown.values())]
    cases = task.worst_cases(evaluation, worst)
    if evaluation.truth is None:
        return Report(evaluation, scores, [], None, cases)
    sigmas = dataset.skeleton.sigmas
    by_name = metrics.per_keypoint(evaluation.truth, evaluation.results, sigmas)
    keypoints = _by_keypoint(by_name, evaluation, dataset)
    analysis = analyze(evaluation, dataset.skeleton, by_name)
    return Report(evaluation, scores, keypoints, analysis, cases)


def _by_keypoint(
    by_name: dict[str, dict[str, float]], evaluation: Evaluation, dataset: Dataset
) -> Table:
    comparison, skeleton = evaluation.comparison, dataset.skeleton
    pck: dict[str, float] = {}
    if skeleton.torso is not None and comparison is not None:
        pck = metrics.pck_torso(
            comparison.predicted, comparison.keypoints, comparison.labeled, skeleton
        )
    columns = ["keypoint", "similarity", "OKS>=.5 %", "labeled", "missed"]
    rows = [columns + ["PCK@0.2"] * bool(pck)]
    for name, values in by_name.items():
        row = [name, f"{values['similarity']:.3f}", f"{100 * values['correct']:.1f}"]
        row += [str(values["count"] + values["missed"]), str(values["missed"])]
        if pck:
            row.append(f"{pck[name]:.1f}")
        rows.append(row)
    return rows


# --- files ---------------------------------------------------------------------------------------


def check_folder(folder: Location, dataset: Dataset, files: Iterable[pathlib.Path]) -> None:
    """Checks that the report does not overwrite an input, which is a local file.

    Args:
      folder: folder of the report.
      dataset: the annotations.
      files: other files that the evaluation reads.

    Raises:
      ValueError: a file of the report is one of `files`, the annotation file or an image; or the
        folder is that of the images.
    """
    if isinstance(folder, RemotePath):
        return
    names = ["metrics.json", "results.json", "analysis.json", "index.html", *NAMES]
    if dataset.format == "image_info":
        names.append(submission_name(dataset.path))
    outputs = [folder / name for name in names]
    outputs += folder.glob(DRAWINGS)  # drawings of an earlier report are removed
    images = map(dataset.image_path, dataset.images)
    check_outputs([folder, *outputs], [dataset.image_dir, dataset.path, *files, *images])


def write_report(
    folder: Location,
    report: Report,
    dataset: Dataset,
    *,
    title: str,
    record: dict[str, Any],
) -> list[str]:
    """Writes metrics.json, results.json, analysis.json, index.html, drawings and plots.

    The drawings show the worst cases. The plots show the analysis, if matplotlib is installed.

    Args:
      folder: folder of the report; created if missing. The files of a remote one are written to a
        temporary folder first.
      report: the content.
      dataset: the annotations, for the images.
      title: title of the page.
      record: further entries of metrics.json.

    Returns:
      Lines for the log, on plots that are left out.

    Raises:
      ValueError: a drawing cannot be written.
      RemoteError: the remote folder cannot be written.
    """
    if isinstance(folder, RemotePath):
        with tempfile.TemporaryDirectory(prefix="jaxpose-") as staging:
            local = pathlib.Path(staging)
            notes = write_report(local, report, dataset, title=title, record=record)
            written = {path.name for path in local.iterdir()}
            for old in [*map(folder.__truediv__, _REPLACED), *folder.glob(DRAWINGS)]:
                if old.name not in written:
                    old.unlink(missing_ok=True)
            folder.upload(local, last=["index.html"])
        return notes
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = report.evaluation
    # JSON has no NaN: a metric without labeled keypoints is null.
    finite = {k: v if math.isfinite(v) else None for k, v in evaluation.metrics.items()}
    content = {"title": title, "metrics": finite, "notes": evaluation.notes, **record}
    write_atomic(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    write_atomic(folder / "results.json", json.dumps(evaluation.results))
    lines: list[str] = []
    figures: list[tuple[str, str]] = []
    for name in _REPLACED:
        (folder / name).unlink(missing_ok=True)  # of an earlier report
    if report.analysis:
        write_atomic(folder / "analysis.json", json.dumps(report.analysis.as_json(), indent=1))
        try:
            figures = draw_figures(folder, report.analysis)
        except ImportError as error:
            lines.append(f"the report has no plots, only numbers (analysis.json): {error}")
    drawings, unread = draw_cases(folder, report.worst, dataset)
    write_atomic(folder / "index.html", _page(title, report, figures, drawings, unread))
    return lines


_STYLE = """body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;
border-bottom:1px solid #ccc}figure{display:inline-block;margin:.5em;vertical-align:top}
figcaption{font-size:12px;max-width:26em}"""


def _page(
    title: str,
    report: Report,
    figures: list[tuple[str, str]],
    drawings: list[tuple[str, str]],
    unread: list[str],
) -> str:
    def rows(table: Table) -> str:
        lines = []
        for number, row in enumerate(table):
            tag = "td" if number else "th"
            cells = "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            lines.append(f"<tr>{cells}</tr>")
        return f"<table>{''.join(lines)}</table>" if lines else ""

    def figure_tags(named: list[tuple[str, str]]) -> str:
        return "".join(
            f'<figure><img src="{name}" alt=""><figcaption>{html.escape(text)}</figcaption>'
            "</figure>"
            for name, text in named
        )

    notes = "".join(f"<p>{html.escape(note)}</p>" for note in report.evaluation.notes)
    missing = (
        f"<p>{len(unread)} of the {len(report.worst)} worst cases cannot be drawn because of "
        f"unreadable images: {html.escape(', '.join(unread))}</p>"
    )
    worst = "<h2>Worst cases (left: annotation, right: prediction)</h2>" + figure_tags(drawings)
    worst += missing if unread else ""
    errors = ""
    if report.analysis:
        errors = (
            f"<h2>By person size</h2>{rows(report.analysis.size_table())}<h2>Kinds of errors</h2>"
            f"{rows(report.analysis.error_table(by_keypoint=True))}{figure_tags(figures)}"
        )
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{notes}{rows(report.scores)}"
        f"{'<h2>By keypoint</h2>' if report.keypoints else ''}{rows(report.keypoints)}"
        f"{errors}{worst if drawings or unread else ''}\n"
    )
