"""The home folder in settings that are paths."""

from configs import common
from jaxpose import tasks
from jaxpose.config import COMMON, expand_paths


def test_every_setting_that_names_a_file_or_folder_is_a_path():
    paths = {setting.key for setting in COMMON if setting.path}
    assert paths == {
        "init_from", "data.root", "data.train_annotations", "data.val_annotations",
        "data.train_images", "data.val_images", "data.detections", "data.head_boxes",
        "data.tfds_dir",
        "data.prepared_dir",
    }  # fmt: skip


def test_the_home_folder_is_expanded_where_settings_are_checked(monkeypatch):
    monkeypatch.setenv("HOME", "/home/someone")
    config = common.get_config()
    config.model, config.input_size = "simplebaseline_mobilenetv2", (64, 64)
    config.data.root, config.data.train_annotations = "~/coco", "a~.json"
    config.data.val_images, config.init_from = "~/val", "~/runs/a"
    tasks.validate(config, devices=1)
    assert config.data.root == "/home/someone/coco" and config.init_from == "/home/someone/runs/a"
    assert config.data.val_images == "/home/someone/val"
    assert config.data.train_annotations == "a~.json" and config.data.detections == ""


def test_imported_weights_have_no_data_settings():
    config = common.get_config()
    config.unlock()
    del config["data"]
    config.init_from = "~/a"
    expand_paths(config)
    assert not config.init_from.startswith("~")
