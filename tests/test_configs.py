"""Recipes: they load, are valid, document their command, and have the numbers of the papers."""

import ast
import importlib
import itertools
import pathlib
import re

import jax
import pytest

from configs import common
from jaxpose import models, tasks
from jaxpose.config import differences
from jaxpose.config.patterns import patterns_of
from jaxpose.training import selection

FOLDER = pathlib.Path(common.__file__).parent
RECIPES = sorted(p.stem for p in FOLDER.glob("*.py") if p.stem not in ("common", "__init__"))


def load(name, *variant):
    config = importlib.import_module(f"configs.{name}").get_config(*variant)
    config.data.root = "somewhere"
    return config


def variants(name):
    """What may stand after the colon of --config=RECIPE.py:VARIANT."""
    return getattr(importlib.import_module(f"configs.{name}"), "VARIANTS", ())


# (recipe,) and (recipe, variant)
CASES = [(name, *one) for name in RECIPES for one in [(v,) for v in variants(name)] or [()]]
LOADED = [load(*case) for case in CASES]


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_is_valid_and_documented(name):
    config = load(name)
    tasks.validate(config, devices=1)
    text = importlib.import_module(f"configs.{name}").__doc__
    default = f":{variants(name)[0]}" if variants(name) else ""
    assert f"python train.py --config=configs/{name}.py{default} " in text and "--workdir=" in text
    assert config.task == models.info(config.model).task
    assert len((FOLDER / f"{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    "task,kind",
    [("topdown", "topdown"), ("simcc", "topdown"), ("associative_embedding", "bottomup")],
)
def test_every_network_can_train_on_a_custom_folder(task, kind):
    for name in models.list_models():
        if models.info(name).task == task:
            for recipe in (f"custom_{kind}", f"check_{kind}"):
                config = load(recipe, name)
                tasks.validate(config, devices=1)
                tasks.create_model(config, 14)  # takes the options
                assert config.model == name


VARIANTS = [case for case in CASES if len(case) == 2]
LOSSES = {"hwl": "heatmap_weighting", "wlitepose": "soft_boundary"}  # the rest has mse


@pytest.mark.parametrize("name,variant", VARIANTS)
def test_variant_sets_its_network_dataset_and_size(name, variant):
    config = load(name, variant)
    tasks.validate(config, devices=8)
    published = models.info(config.model).published
    sizes = re.findall(r"\d+x\d+", variant)
    assert (
        sizes == ["{}x{}".format(*config.input_size)]
        if sizes
        else (config.input_size == models.info(config.model).input_size)
    )
    dataset = next((d for d in ("mpii", "crowdpose") if d in variant), "coco")
    assert config.data.format == config.eval.metric == dataset
    if name == "rtmpose":
        assert config.task == "simcc" and config.optimizer.name == "adamw"
    else:
        assert config.loss.name == LOSSES.get(name, "mse") and config.optimizer.name == "adam"
    # Every published score of that case is quoted.
    text = importlib.import_module(f"configs.{name}").__doc__
    dataset = "coco-wholebody" if "wholebody" in variant else dataset
    for row in published:
        if (row.dataset, row.input_size) == (dataset, config.input_size):
            assert f"{row.score}" in text or "Lite CSW" in row.source, row


LITE = ("litepose", "wlitepose")
# What a variant may end with.
LAST = dict.fromkeys(LITE, "litepose")
LAST |= dict.fromkeys(("higher_hrnet", "efficient_hrnet"), "crowdpose") | {"hrnet": "udp"}
LONGER = [(name, variant) for name, variant in VARIANTS if LAST.get(name) == "crowdpose"]


@pytest.mark.parametrize("name", dict(VARIANTS))
def test_variants_differ_and_unknown_ones_are_refused(name):
    assert len({str(load(name, variant)) for variant in variants(name)}) == len(variants(name))
    assert str(load(name)) == str(load(name, variants(name)[0]))
    text = importlib.import_module(f"configs.{name}").__doc__
    assert set(variants(name)[0].split(",")) <= set(re.split(r"[\s,:()]+", text))
    first, *rest = variants(name)[0].split(",")
    with pytest.raises(
        ValueError, match=f"unknown part '19' of variant '19.*': choose from {first}"
    ):
        load(name, ",".join(["19", *rest]))
    with pytest.raises(ValueError, match=f"give all parts, e.g. '{variants(name)[0]}'"):
        load(name, ",".join(filter(None, (variants(name)[0], LAST.get(name), "more"))))


@pytest.mark.parametrize("name", [name for name in RECIPES if load(name).task == "topdown"])
def test_every_top_down_recipe_works_with_udp(name):
    config = load(name)
    config.codec = "udp"
    if name not in ("demo", "custom_topdown"):
        return tasks.validate(config, devices=1)
    # These decode with DARK, which UDP has no use for.
    with pytest.raises(ValueError, match="use --config.eval.decode=quarter"):
        tasks.validate(config, devices=1)
    config.eval.decode = "quarter"
    tasks.validate(config, devices=1)
    assert str(load(name, "hwl_mobilenetv3,udp")) == str(config)
    assert load(name, "vipnas_mobilenetv3").codec == "gaussian"
    with pytest.raises(ValueError, match="unknown codec 'upd' .* choose from gaussian, udp"):
        load(name, "hwl_mobilenetv3,upd")


@pytest.mark.parametrize("variant", variants("hrnet"))
def test_hrnet_with_udp_differs_in_the_codec_alone(variant):
    config, usual = load("hrnet", f"{variant},udp"), load("hrnet", variant)
    tasks.validate(config, devices=8)
    assert differences(usual, config) == ["codec: gaussian -> udp"]
    assert config.sigma == (3 if "384x288" in variant else 2)


TRAINED = [name for name in models.list_models() if models.info(name).task in tasks.TASKS]


@pytest.mark.parametrize("model", TRAINED)
def test_every_model_has_a_recipe_of_every_published_case(model):
    """Also of the three usual sizes and datasets, where the model came with variants."""
    loaded = LOADED + [load(name, f"{variant},{LAST[name]}") for name, variant in LONGER]
    cases = {(c.data.format, tuple(c.input_size)) for c in loaded if c.model == model}
    assert cases, f"no recipe for {model}"
    for row in models.info(model).published:
        # COCO-WholeBody's files have COCO's format.
        case = (row.dataset.split()[0].removesuffix("-wholebody"), row.input_size)
        assert case in cases, f"no recipe for {model} on {case}"
    if models.info(model).task == "topdown" and not model.startswith(("hwl", "simple")):
        assert {("coco", (256, 192)), ("coco", (384, 288)), ("mpii", (256, 256))} <= cases


@pytest.mark.parametrize("variant", variants("hwl"))
def test_hwl_recipe(variant):
    config = load("hwl", variant)
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
    assert augment.half_body_prob == (0 if "mpii" in variant else 0.3)
    assert config.eval.flip and config.eval.decode == "quarter" and config.eval_every == 10


@pytest.mark.parametrize("name,variant", [(name, v) for name in LITE for v in variants(name)])
def test_bottom_up_recipe(name, variant):
    config = load(name, f"{variant},wlitepose")
    network, dataset = variant.split(",")
    assert config.model == f"{name}_{network}"
    assert config.optimizer.name == "adam" and config.optimizer.learning_rate == 1e-3
    assert config.optimizer.weight_decay == config.ema_decay == config.schedule.warmup_steps == 0
    crowds = dataset == "crowdpose"
    assert config.epochs == (200 if crowds else 500) and config.schedule.gamma == 0.1
    assert config.schedule.milestones == ((50, 180) if crowds else (350, 480))
    assert (config.batch_size, config.sigma, config.max_people) == (32, 2, 30)
    side = {"xs": 256, "s": 448, "m": 448, "l": 512}[network]
    assert config.input_size == (side, side)
    assert (config.loss.tau, config.loss.push, config.loss.pull) == (0.01, 1e-3, 1e-3)
    assert not config.loss.detach_weight
    augment = config.augment
    assert (augment.scale_min, augment.scale_max) == (0.75, 1.5)
    assert (augment.flip, augment.rotation, augment.translate) == (0.5, 30, 40)
    test = config.eval
    assert test.flip and test.scales == (1,) and test.sizing == "short_side"
    assert (test.max_people, test.nms_kernel, test.adjust, test.refine) == (30, 5, True, True)
    assert (test.detection_threshold, test.tag_threshold) == (0.1, 1)

    official = load(name, f"{variant},litepose")
    assert official.optimizer.learning_rate == 4e-3 and official.batch_size == 16
    assert official.epochs == 500 and official.schedule.milestones == (350, 480)
    assert str(load(name, variant)) == str(official if network in ("m", "l") else config)
    with pytest.raises(ValueError, match="choose from wlitepose, litepose"):
        load(name, f"{variant},official")


@pytest.mark.parametrize("name", ["higher_hrnet", "efficient_hrnet"])
def test_crowdpose_takes_the_recipe_of_coco(name):
    for variant in variants(name):
        config, usual = load(name, f"{variant},crowdpose"), load(name, variant)
        tasks.validate(config, devices=8)
        assert str(load(name, f"{variant},coco")) == str(usual)
        assert config.data.format == config.eval.metric == "crowdpose"
        different = {line.split(":")[0] for line in differences(usual, config)}
        assert {key.split(".")[0] for key in different - {"eval.metric"}} == {"data"}


@pytest.mark.parametrize(
    "case,epochs,batch,rate,decay,average,strong,last",
    [
        ("t,coco,256x192", 420, 2048, 4e-3, 0, 0, (0.4, 80), (0.25, 60)),
        ("s,coco,256x192", 420, 2048, 4e-3, 0, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,coco,256x192", 420, 2048, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("l,coco,384x288", 420, 2048, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,crowdpose,256x192", 210, 512, 5e-4, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,mpii,256x256", 210, 512, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,ap10k,256x256", 210, 512, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,wholebody,256x192", 270, 512, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("l,wholebody,384x288", 270, 256, 4e-3, 0.05, 0.9998, (0.4, 80), (0.25, 60)),
        ("m,hand,256x256", 210, 256, 4e-3, 0.05, 0.9998, (0.5, 180), (0.25, 180)),
        ("x,coco,384x288", 700, 2048, 4e-3, 0.05, 0.9998, (0.5, 90), (0.5, 90)),
        ("x,wholebody,384x288", 270, 256, 4e-3, 0.05, 0.9998, (0.5, 90), (0.5, 90)),
    ],
)
def test_rtmpose_recipe(case, epochs, batch, rate, decay, average, strong, last):
    config = load("rtmpose", case)
    assert (config.epochs, config.batch_size, config.optimizer.learning_rate) == (
        epochs, batch, rate,
    )  # fmt: skip
    assert (config.optimizer.weight_decay, config.ema_decay, config.ema_warmup) == (
        decay, average, 2000,
    )  # fmt: skip
    assert (config.optimizer.b1, config.optimizer.b2, config.optimizer.eps) == (0.9, 0.999, 1e-8)
    plan = config.schedule
    assert (plan.name, plan.warmup_steps, plan.warmup_factor) == ("cosine", 999, 1e-5)
    largest = case.startswith("x")
    assert (plan.flat, plan.final_factor) == (0.5, 0.05)
    assert config.optimizer.clip_norm == (35 if largest else 0)
    augment, pixels = config.augment, config.augment.pixels
    assert (augment.scale, augment.rotation) == strong and augment.distribution == "truncated"
    assert (augment.last.scale, augment.last.rotation) == last
    assert augment.last.epochs == (20 if case.startswith("x,coco") else 30)
    assert (augment.shift, augment.shift_prob, augment.last.shift_prob) == (0.16, 0.3, 0)
    assert (augment.flip, augment.rotation_prob, augment.half_body_min) == (0.5, 0.6, 8)
    assert augment.half_body_prob == (0 if "hand" in case else 0.3)
    assert (pixels.hue, pixels.saturation, pixels.value, pixels.hsv_prob) == (5, 30, 30, 0.5)
    assert (pixels.blur_prob, pixels.median_prob) == (0.1, 0.1)
    assert (pixels.dropout_prob, augment.last.dropout_prob) == (1, 0.5)
    assert (pixels.dropout_min, pixels.dropout_max) == (0.2, 0.4)
    detected = "coco" in case or "wholebody" in case
    assert bool(config.data.detections) == detected
    assert config.batch_norm == "global" and config.loss.beta == 10 and config.sigma == ()
    assert config.eval.flip


def test_rtmpose_decays_kernels_and_what_its_code_decays():
    config = load("rtmpose", "m,coco,256x192")
    model = models.create_model("rtmpose_m")
    params = jax.eval_shape(lambda: models.initial_variables(model, (256, 192), 0))["params"]
    patterns = patterns_of("optimizer.decay_also", config.optimizer.decay_also)
    chosen = jax.tree_util.tree_leaves_with_path(selection.decayed(params, patterns))
    names = {decays: {path[-1].key for path, yes in chosen if yes == decays} for decays in (0, 1)}
    assert names[True] == {"kernel", "gamma", "beta", "gain", "factor"}
    assert names[False] == {"bias", "scale"}


@pytest.mark.parametrize("name", ["custom_topdown", "demo"])
def test_small_recipes_take_rtmpose_without_a_codec(name):
    config = load(name, "rtmpose_s")
    assert config.task == "simcc" and config.sigma == () and config.input_size == (128, 96)
    with pytest.raises(ValueError, match="rtmpose_s has no heatmaps and no codec; give 'rtmpose_"):
        load(name, "rtmpose_s,udp")


def test_lightweight_openpose_recipe():
    config = load("lightweight_openpose")
    assert config.model == "lightweight_openpose" and config.input_size == (368, 368)
    assert config.data.format == config.eval.metric == "coco"
    tasks.validate(config, devices=8)


def _value(text):
    try:
        return ast.literal_eval(text.strip('"'))
    except ValueError:
        return text


# recipe -> networks that its docstring's overrides of the model make, beside the default (those of
# wlitepose are in test_ablations.py)
OVERRIDES = {
    "el_hrnet": 8,
    "lite_hrnet": 1,
    "dite_hrnet": 1,
    "lite_csw_hrnet": 12,
    "vipnas": 1,
    "efficient_hrnet": 1,
    "lightweight_hrnet": 4,
    "hwl": 5,
}


@pytest.mark.parametrize("name,count", OVERRIDES.items())
def test_overrides_that_a_recipe_names_make_other_networks(name, count):
    text = importlib.import_module(f"configs.{name}").__doc__
    networks = {str(tasks.create_model(load(name), 17))}
    one = r'--config\.model_options\.(\w+)=("[^"]+"|[\w.|]*\w)'
    for line in re.finditer(f"{one}(?: {one})?", text):  # one override, or two that go together
        keys, values = line.groups()[::2], line.groups()[1::2]
        choices = [v.split("|") for v in values if v]
        for chosen in itertools.product(*choices):
            config = load(name)
            config.model_options.update(dict(zip(keys, map(_value, chosen), strict=False)))
            networks.add(str(tasks.create_model(config, 17)))
    assert len(networks) == count + 1


@pytest.mark.parametrize(
    "case,rate,batch,epochs,milestones,warmup,sigma,augment",
    [
        ("hrnet:w32,coco,256x192", 1e-3, 128, 210, (170, 200), 0, 2, (0.35, 45, 0.3, 0)),
        ("hrnet:w48,coco,384x288", 1e-3, 96, 210, (170, 200), 0, 3, (0.35, 45, 0.3, 0)),
        ("hrnet:w32,mpii,256x256", 1e-3, 128, 210, (170, 200), 0, 2, (0.25, 30, 0, 0)),
        ("el_hrnet:coco,256x192", 1e-3, 16, 300, (120, 170, 200, 260), 0, 2, (0.35, 45, 0, 0)),
        ("el_hrnet:mpii,256x256", 1e-3, 8, 210, (170, 200), 0, 2, (0.25, 30, 0, 0)),
        ("lite_hrnet:18,coco,256x192", 2e-3, 512, 210, (170, 200), 500, 2, (0.25, 30, 0.3, 0.3)),
        ("lite_hrnet:30,mpii,256x256", 2e-3, 256, 210, (170, 200), 500, 2, (0.25, 30, 0, 0)),
        ("dite_hrnet:30,coco,384x288", 2e-3, 256, 270, (170, 200), 500, 3, (0.25, 30, 0.3, 0.3)),
        ("dite_hrnet:18,mpii,256x256", 2e-3, 256, 260, (170, 200), 500, 2, (0.25, 30, 0, 0)),
        (
            "lite_csw_hrnet:18,coco,256x192",
            2e-3,
            512,
            210,
            (170, 200),
            500,
            2,
            (0.25, 30, 0.3, 0.3),
        ),
        (
            "lite_csw_hrnet:18,coco,384x288",
            2e-3,
            256,
            210,
            (170, 200),
            500,
            3,
            (0.25, 30, 0.3, 0.3),
        ),
        ("lite_hrnet:30,coco,256x256", 1e-3, 32, 500, (350, 480), 0, 2, (0.25, 30, 0, 0.3)),
        ("dite_hrnet:30,crowdpose,448x448", 1e-3, 32, 200, (50, 180), 0, 2, (0.25, 30, 0, 0.3)),
        ("vipnas:coco,256x192", 5e-4, 512, 210, (170, 200), 500, 2, (0.25, 30, 0.3, 0.3)),
        ("higher_hrnet:w48,640x640", 1e-3, 40, 300, (200, 260), 0, 2, None),
        ("efficient_hrnet:hm4", 1e-3, 32, 300, (200, 260), 0, 2, None),
        ("lightweight_hrnet:rm2", 1e-3, 32, 300, (200, 260), 0, 2, None),
        ("litepose:l,crowdpose", 4e-3, 16, 500, (350, 480), 0, 2, None),
    ],
)
def test_hyper_parameters(case, rate, batch, epochs, milestones, warmup, sigma, augment):
    config = load(*case.split(":"))
    assert (config.optimizer.learning_rate, config.batch_size) == (rate, batch)
    assert (config.epochs, config.schedule.milestones) == (epochs, milestones)
    assert (config.schedule.warmup_steps, config.sigma) == (warmup, sigma)
    a = config.augment
    if augment:
        assert (a.scale, a.rotation, a.half_body_prob, a.shift_prob) == augment
        assert (a.rotation_prob, a.half_body_min) == (0.6, 8)
    else:
        assert (a.scale_min, a.scale_max, a.rotation, a.translate) == (0.75, 1.5, 30, 40)
    assert a.flip == 0.5 and config.optimizer.weight_decay == config.ema_decay == 0


@pytest.mark.parametrize("name", ["check_topdown", "check_bottomup"])
def test_check_scores_what_it_trains_on(name):
    config = load(name)
    config.data.train_annotations = "mine.json"
    config.data.train_images = "pictures"
    assert config.data.val_annotations == "mine.json" and config.data.val_images == "pictures"
    assert config.eval.flip == (config.augment.flip > 0)
