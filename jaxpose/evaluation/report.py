"""The report folder: scores, results, and the people on whom the network does worst."""

import dataclasses
import html
import json
import math
import pathlib
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from jaxpose import annotations, draw, images, metrics
from jaxpose.evaluation.predictions import truth_of
from jaxpose.evaluation.scores import Evaluation, annotation_file
from jaxpose.metrics.coco import BOX_AREA
from jaxpose.training.files import write_atomic

Table = list[list[str]]  # first row: column names


@dataclasses.dataclass(frozen=True)
class Report:
    """What eval.py prints and writes.

    `joints` is the table by joint; `worst` are rows of the predictions, worst first.
    """

    evaluation: Evaluation
    scores: Table
    joints: Table
    worst: list[int]
    similarity: np.ndarray


def make_report(
    evaluation: Evaluation, truth: annotations.Dataset, config: ConfigDict, worst: int
) -> Report:
    """Tables and the `worst` people of an evaluation."""
    values = evaluation.metrics
    if config.eval.metric == "mpii":
        shown = {name: f"{value:.2f}" for name, value in values.items()}
    else:  # as the papers print them: AP and AR x100
        shown = {k: f"{v if '@' in k else 100 * v:.2f}" for k, v in values.items()}
        shown |= {k: "-" for k, v in values.items() if v == -1}
    scores = [list(shown), list(shown.values())]
    if config.data.detections:
        similarity, order = np.full(len(evaluation.predictions.image_id), np.nan), []
    else:
        similarity = _similarity(evaluation, truth)
        order = np.argsort(similarity, kind="stable")[:worst].tolist()
    return Report(evaluation, scores, _by_joint(evaluation, truth, config), order, similarity)


def _similarity(evaluation: Evaluation, truth: annotations.Dataset) -> np.ndarray:
    """OKS [N] of each prediction with the person of its box, over the labelled joints."""
    people = evaluation.predictions
    joints, labelled = truth_of(people, truth)
    row_of = {int(identity): row for row, identity in enumerate(truth.people.annotation_id)}
    boxes = truth.people.box[[row_of[int(identity)] for identity in people.annotation_id]]
    area = BOX_AREA * boxes[:, 2] * boxes[:, 3] + np.spacing(1)
    squared = ((people.keypoints - joints) ** 2).sum(-1)
    variances = (2 * np.asarray(truth.skeleton.sigmas)) ** 2
    terms = np.exp(-squared / (2 * variances * area[:, None]))
    return (terms * labelled).sum(-1) / np.maximum(labelled.sum(-1), 1)


def _by_joint(evaluation: Evaluation, truth: annotations.Dataset, config: ConfigDict) -> Table:
    if config.eval.metric == "mpii":
        return []  # the scores are by joint already
    predictions, skeleton = evaluation.predictions, truth.skeleton
    with annotation_file(truth, predictions, limited=config.data.limit > 0) as file:
        found = metrics.per_keypoint(file, evaluation.results, skeleton.sigmas)
    pck: dict[str, float] = {}
    if skeleton.torso is not None and not config.data.detections:
        joints, labelled = truth_of(predictions, truth)
        pck = metrics.pck_torso(predictions.keypoints, joints, labelled, skeleton)
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
    """Writes metrics.json, results.json, index.html and the pictures of the worst people."""
    folder.mkdir(parents=True, exist_ok=True)
    evaluation = report.evaluation
    # JSON has no NaN: a score without a labelled joint is null.
    finite = {k: v if math.isfinite(v) else None for k, v in evaluation.metrics.items()}
    content = {"title": title, "metrics": finite, "notes": evaluation.notes, **settings}
    write_atomic(folder / "metrics.json", json.dumps(content, indent=2) + "\n")
    write_atomic(folder / "results.json", json.dumps(evaluation.results))
    pictures = _write_pictures(folder, report, truth)
    write_atomic(folder / "index.html", _page(title, report, pictures))


def _write_pictures(
    folder: pathlib.Path, report: Report, truth: annotations.Dataset
) -> list[tuple[str, str]]:
    """One picture a person: annotation on the left, prediction on the right."""
    import cv2

    for old in folder.glob("worst_*.jpg"):
        old.unlink()
    written = []
    people = report.evaluation.predictions
    joints, labelled = truth_of(people, truth) if report.worst else (None, None)
    for rank, row in enumerate(report.worst, start=1):
        path = truth.image_path(people.image_id[row])
        try:
            picture = images.decode(path.read_bytes())
        except (OSError, images.ImageError):
            continue  # it was in memory or in the prepared copy only
        truth_scores = labelled[row].astype(np.float32)
        left = draw.draw_pose(picture, joints[row], truth_scores, truth.skeleton, threshold=0.5)
        right = draw.draw_pose(picture, people.keypoints[row], None, truth.skeleton)
        corner = people.center[row] - 100 * people.scale[row]
        x0, y0 = np.maximum(corner, 0).astype(int)
        x1, y1 = np.ceil(corner + 200 * people.scale[row]).astype(int)
        both = np.concatenate([left[y0:y1, x0:x1], right[y0:y1, x0:x1]], axis=1)
        if not both.size:
            continue
        height = 320
        size = (max(1, round(both.shape[1] * height / both.shape[0])), height)
        both = cv2.resize(both, size, interpolation=cv2.INTER_AREA)
        name = f"worst_{rank:02d}.jpg"
        cv2.imwrite(str(folder / name), both[..., ::-1])
        caption = (
            f"{path.name}, person {people.annotation_id[row]}: OKS {report.similarity[row]:.3f}, "
            f"mean score {people.scores[row].mean():.2f}"
        )
        written.append((name, caption))
    return written


_STYLE = """body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse;margin:1em 0}td,th{padding:.2em .8em;text-align:right;
border-bottom:1px solid #ccc}figure{display:inline-block;margin:.5em;vertical-align:top}
figcaption{font-size:12px;max-width:26em}"""


def _page(title: str, report: Report, pictures: list[tuple[str, str]]) -> str:
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
    worst = "<h2>Worst people (left: annotation, right: prediction)</h2>" + figures
    return (
        f'<!doctype html><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style><h1>{html.escape(title)}</h1>{notes}{rows(report.scores)}"
        f"{'<h2>By joint</h2>' if report.joints else ''}{rows(report.joints)}"
        f"{worst if figures else ''}\n"
    )
