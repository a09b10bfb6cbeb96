"""The scripts of docs/launch run the commands that they should, with the arguments given."""

import os
import re
import subprocess
import tomllib

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from jaxpose.config import COMMON

SCRIPTS = ["slurm.sh", "tpu_pod.sh", "tpu_queued.sh"]
FILES = [*SCRIPTS, "jobset.yaml"]
ARGUMENTS = ["--config=configs/hwl.py:coco,256x192", "--workdir=/mnt/my runs/a", "--config.x='1'"]


@pytest.fixture
def launch(repository):
    return repository / "docs" / "launch"


@pytest.fixture
def run(launch, tmp_path):
    """Runs a script; the programs it calls are replaced by ones that record their arguments."""

    def run_script(name, *arguments, programs, **environment):
        for program, body in programs.items():
            path = tmp_path / program
            path.write_text(f"#!/bin/bash\nprintf '%s\\0' {program} \"$@\" >> {tmp_path}/calls\n"
                            f"printf '\\n' >> {tmp_path}/calls\n{body}\n")  # fmt: skip
            path.chmod(0o755)
        done = subprocess.run(
            ["bash", str(launch / name), *arguments], capture_output=True, text=True, timeout=60,
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}", **environment},
        )  # fmt: skip
        calls = tmp_path / "calls"
        text = calls.read_text() if calls.exists() else ""
        return done, [call.split("\0") for call in text.split("\0\n") if call]

    return run_script


@pytest.mark.parametrize("name", SCRIPTS)
def test_scripts_are_valid_bash(name, launch):
    done = subprocess.run(["bash", "-n", str(launch / name)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", FILES)
def test_settings_in_the_files_exist_and_the_page_names_them(name, launch, repository):
    keys = set(re.findall(r"--config\.([\w.]+)", (launch / name).read_text()))
    assert keys <= {setting.key for setting in COMMON}
    assert f"launch/{name}" in (repository / "docs" / "several_hosts.md").read_text()


def test_tpu_pod_runs_one_command_on_all_hosts(run):
    done, calls = run(
        "tpu_pod.sh", *ARGUMENTS, programs={"gcloud": ""}, TPU="pod", ZONE="z", HOSTS="4"
    )
    assert done.returncode == 0
    ((*words, command),) = calls
    assert words == "gcloud compute tpus tpu-vm ssh pod --zone=z --worker=all".split()
    shell = command.removeprefix("--command=cd jaxpose && exec .venv/bin/python ")
    echoed = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {shell}"], capture_output=True, text=True
    ).stdout.split("\0")
    distributed = ["--config.distributed.initialize=True", "--config.distributed.hosts=4"]
    assert echoed == ["train.py", *distributed, *ARGUMENTS, ""]


def test_scripts_name_what_is_missing(run):
    done, calls = run("tpu_pod.sh", programs={"gcloud": ""}, TPU="pod")
    assert done.returncode != 0 and "its zone" in done.stderr and not calls


@pytest.mark.parametrize("state, status", [("ACTIVE", 0), ("FAILED", 1)])
def test_a_queued_tpu_is_set_up_once_it_is_active(state, status, run):
    done, calls = run(
        "tpu_queued.sh", "--spot", programs={"gcloud": f'[ "$4" != describe ] || echo {state}'},
        TPU="pod", ZONE="z", ACCELERATOR="v5litepod-16", RUNTIME="r", REPOSITORY="https://a/b",
    )  # fmt: skip
    assert done.returncode == status and f"pod: {state}" in done.stdout
    assert calls[0][1:6] == ["compute", "tpus", "queued-resources", "create", "pod"]
    assert calls[0][-1] == "--spot"
    assert ("git clone https://a/b jaxpose" in calls[-1][-1]) == (status == 0)


def test_a_queued_tpu_gets_a_python_that_jaxpose_accepts(run, repository, tmp_path):
    """The command for the hosts is run here, in an empty home folder."""
    home = tmp_path / "home"
    home.mkdir()
    gcloud = """[ "$4" != describe ] || echo ACTIVE
        last=${@: -1}
        [ "$4" != ssh ] || (cd && bash -c "${last#--command=}")"""
    done, calls = run(
        "tpu_queued.sh", programs={"gcloud": gcloud, "git": "mkdir jaxpose", "curl": "", "uv": ""},
        TPU="pod", ZONE="z", ACCELERATOR="v5litepod-16", RUNTIME="r", REPOSITORY="https://a/b c",
        HOME=str(home),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    git, curl, venv, install = [call for call in calls if call[0] != "gcloud"]
    assert git == ["git", "clone", "https://a/b c", "jaxpose"]
    assert curl[-1] == "https://astral.sh/uv/install.sh"
    *words, version, folder = venv
    assert words == ["uv", "venv", "--python"] and folder == ".venv"  # which tpu_pod.sh runs
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert version in SpecifierSet(project["requires-python"])
    assert install == ["uv", "pip", "install", "jax[tpu]", "-e", ".[train]"]


@pytest.mark.parametrize("status, requeued", [(0, False), (143, True), (2, False)])
def test_slurm_continues_after_the_time_limit(status, requeued, run):
    done, calls = run(
        "slurm.sh", *ARGUMENTS, programs={"srun": f"exit {status}", "scontrol": ""},
        SLURM_NTASKS="16", SLURM_JOB_ID="7",
    )  # fmt: skip
    assert done.returncode == status
    assert calls[0][-3:] == ARGUMENTS and "--config.distributed.hosts=16" in calls[0]
    assert (["scontrol", "requeue", "7"] in calls) == requeued


def test_the_jobset_is_consistent(launch):
    (jobset,) = yaml.safe_load_all((launch / "jobset.yaml").read_text())
    assert jobset["kind"] == "JobSet"
    (job,) = jobset["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    hosts = spec["parallelism"]
    assert spec["completions"] == hosts and spec["backoffLimit"] == 0
    assert f"--config.distributed.hosts={hosts}" in container["command"]
    chips = container["resources"]["limits"]["google.com/tpu"]
    rows, columns = pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"].split("x")
    assert int(rows) * int(columns) == hosts * chips
    assert f"--config.batch_size={128 * hosts * chips}" in container["command"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
