"""Recipes: they load, are valid, say how they are run, and hold the numbers of the papers."""

import importlib
import pathlib
import re

import pytest

from configs import common
from jaxpose.training import config as configuration

FOLDER = pathlib.Path(common.__file__).parent
RECIPES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("common", "__init__"))


def load(name):
    config = importlib.import_module(f"configs.{name}").get_config()
    config.data.root = "somewhere"
    return config


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_valid_and_documented(name):
    config = load(name)
    configuration.validate(config, devices=1)
    text = importlib.import_module(f"configs.{name}").__doc__
    assert f"python train.py --config=configs/{name}.py" in text and "--workdir=" in text
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize("name", [name for name in RECIPES if "_coco_" in name or "_mpii_" in name])
def test_recipes_of_papers_are_what_their_name_says(name):
    model, dataset, height, width = re.fullmatch(r"(\w+)_(coco|mpii)_(\d+)x(\d+)", name).groups()
    config = load(name)
    assert config.model.startswith(model)
    assert config.input_size == (int(height), int(width))
    assert config.data.format == config.eval.metric == dataset
    configuration.validate(config, devices=8)


@pytest.mark.parametrize("name", ["hwl_coco_256x192", "hwl_coco_384x288", "hwl_mpii_256x256"])
def test_hwl_recipe(name):
    config = load(name)
    assert config.optimizer.name == "adam" and config.optimizer.learning_rate == 5e-4
    assert (config.optimizer.b1, config.optimizer.b2, config.optimizer.eps) == (0.9, 0.999, 1e-8)
    assert config.optimizer.weight_decay == config.optimizer.clip_norm == config.ema_decay == 0
    assert config.schedule.name == "step" and config.schedule.milestones == (170, 200)
    assert (config.schedule.warmup_steps, config.schedule.warmup_factor) == (500, 0.001)
    assert (config.batch_size, config.epochs, config.sigma) == (64, 210, 2)
    assert (config.loss.name, config.loss.fn) == ("heatmap_weighting", "x")
    augment = config.augment
    assert (augment.flip, augment.rotation, augment.rotation_prob) == (0.5, 40, 0.6)
    assert augment.scale == 0.5
    assert augment.half_body_prob == (0 if "mpii" in name else 0.3)
    assert config.eval.flip and config.eval.decode == "quarter" and config.eval_every == 10


def test_check_scores_what_it_trains_on():
    config = load("check_topdown")
    config.data.train_annotations = "mine.json"
    config.data.train_images = "pictures"
    assert config.data.val_annotations == "mine.json" and config.data.val_images == "pictures"
    assert config.augment.flip == 0 and not config.eval.flip


def test_unknown_keys_are_refused_and_model_options_are_open():
    config = common.get_config()
    with pytest.raises(AttributeError, match="batch_size"):
        config.batch_sise = 3
    with pytest.raises(AttributeError, match="flip"):
        config.eval.flp = True
    with pytest.raises(TypeError):
        config.epochs = "many"
    config.model_options.attention = "se"


def test_every_key_has_its_line_of_explanation():
    body = (FOLDER / "common.py").read_text().split("def coco")[0]
    plain = {"train_annotations", "val_annotations", "generated.seed"}  # the name says it
    for key, comment in re.findall(r"^    config\.(?:data\.)?([\w.]+) = (.*)$", body, re.MULTILINE):
        assert "#" in comment or "ConfigDict()" in comment or key in plain | {"val_images"}, key
