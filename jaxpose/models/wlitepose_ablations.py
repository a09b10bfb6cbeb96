"""The ablations of the WLitePose paper (Tables VI to X), row by row, and its text's topology.

`jaxpose models --paper wlitepose` prints them next to our counts; docs/wlitepose.md is its output.
All networks were trained and tested on CrowdPose at 448x448.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

RECIPES = {  # network -> file in configs/ and its variant
    "wlitepose_s": "wlitepose.py:s,crowdpose",
    "wlitepose_xs": "wlitepose.py:xs,crowdpose",
    "litepose_s": "litepose.py:s,crowdpose",
}


class Ablation(NamedTuple):
    """One row as the paper prints it, and the settings that reproduce it.

    Attributes:
      label: name of the row, in the paper's words.
      model: name of the network.
      options: options of the network that differ from the defaults.
      loss: settings of the loss that differ from the network's recipe.
      params: printed, in millions; None where the table has none.
      macs: printed, in 1e9; None where the table has none.
      ap: printed, on the CrowdPose test set.
    """

    label: str
    model: str
    options: Mapping[str, Any]
    loss: Mapping[str, Any]
    params: float | None
    macs: float | None
    ap: float

    @property
    def recipe(self) -> str:
        """File in configs/ with its variant."""
        return RECIPES[self.model]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings to change in the recipe, by key."""
        options = {f"model_options.{key}": value for key, value in self.options.items()}
        return options | {f"loss.{key}": value for key, value in self.loss.items()}


_S, _BASE = "wlitepose_s", "litepose_s"
_MSE, _SOFT = {"name": "mse"}, {"name": "soft_boundary"}
_BLOCK = {"light_deconv": False}  # DFC-bottlenecks alone, without the module of section III-B


def _block(
    label: str, options: dict[str, Any], params: float | None, macs: float | None, ap: float
) -> Ablation:
    """A row of the tables about the block: no light deconvolution module, mean squared error."""
    return Ablation(label, _S, _BLOCK | options, _MSE, params, macs, ap)


_BASELINE = Ablation("baseline", _BASE, {}, {}, 2.7, 5.0, 58.0)

TABLES: dict[str, tuple[Ablation, ...]] = {
    "VI": (
        _BASELINE,
        _block("Exp-1, DFC-bottleneck", {}, 3.3, 5.5, 58.7),
        Ablation("Exp-2, light deconvolution too", _S, {}, _MSE, 3.6, 5.8, 58.8),
        Ablation("Exp-3, light deconvolution alone", _S, {"stages": ()}, _MSE, 3.0, 5.2, 58.3),
        Ablation("Exp-4, loss alone", _BASE, {}, _SOFT, 2.7, 5.0, 59.0),
        Ablation("Exp-5, all three", _S, {}, {}, 3.6, 5.8, 59.6),
    ),
    "VII": (
        _BASELINE,
        _block("stage 1", {"stages": (1,)}, 2.9, 5.2, 58.2),
        _block("stage 2", {"stages": (2,)}, 3.0, 5.2, 58.3),
        _block("stage 3", {"stages": (3,)}, 3.0, 5.3, 58.2),
        _block("stage 4", {"stages": (4,)}, 3.1, 5.3, 58.5),
        _block("all", {}, 3.3, 5.5, 58.7),
    ),
    "VIII": (
        _BASELINE._replace(params=None, macs=None),
        Ablation("Exp-1", _BASE, {}, _SOFT | {"tau": 1.0}, None, None, 58.5),
        Ablation("Exp-2", _BASE, {}, _SOFT | {"tau": 0.1}, None, None, 58.8),
        Ablation("Exp-3", _BASE, {}, _SOFT | {"tau": 0.01}, None, None, 59.0),
        Ablation("Exp-4", _BASE, {}, _SOFT | {"tau": 0.001}, None, None, 59.0),
    ),
    "IX": (
        _BASELINE,
        _block("Exp-1, SE", {"attention": "se"}, 2.9, 5.3, 58.2),
        _block("Exp-2, CBAM", {"attention": "cbam"}, 2.9, 5.3, 58.3),
        _block("Exp-3, CA", {"attention": "ca"}, 3.2, 5.7, 58.7),
        _block("Exp-4, DFC", {"attention": "dfc"}, 3.3, 5.5, 58.7),
    ),
    "X": (
        _BASELINE._replace(params=None),
        _block(
            "move up 7x7 depthwise conv",
            {"attention": "none", "full_bn_relu6": True},
            *(None, 4.6, 57.1),
        ),
        _block("+ DFC attention", {"full_bn_relu6": True}, None, 5.5, 58.4),
        _block("ReLU -> GELU", {"activations": 2, "norms": 3}, None, 5.5, 58.4),
        _block("fewer activations", {"norms": 3}, None, 5.5, 58.6),
        _block("fewer batch norms", {}, None, 5.5, 58.7),
    ),
}

# The topology of section III: 1/32 after stage 4, three fusion deconvolutions to 1/4, then the
# light module. The paper's 3 groups do not divide 32 channels; here there are 4 or 2 groups.
_TEXT = {"topology": "text"}
_FOUR = _TEXT | {"light_width": 32, "light_groups": 4}
_TWO = _TEXT | {"light_width": 32, "light_groups": 2}

TEXT_TOPOLOGY: tuple[Ablation, ...] = (
    Ablation("S, 33 channels in 3 groups", _S, _TEXT, {}, 3.6, 5.8, 59.6),
    Ablation("S, 32 channels in 4 groups", _S, _FOUR, {}, 3.6, 5.8, 59.6),
    Ablation("S, 32 channels in 2 groups", _S, _TWO, {}, 3.6, 5.8, 59.6),
    Ablation("XS, 32 channels in 4 groups", "wlitepose_xs", _FOUR, {}, 2.3, 1.5, 50.6),
    Ablation(
        "VI Exp-3, light deconvolution alone", _S, _FOUR | {"stages": ()}, _MSE, 3.0, 5.2, 58.3
    ),
)
