"""Errors of JAX about the memory of a device, and errors that look like them."""

import importlib
import types

import jax
import jax.numpy as jnp
import pytest

from configs import common
from jaxpose.runs import DamagedError
from jaxpose.training import out_of_memory

REFUSED = jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes.")


def test_a_program_that_does_not_fit_names_the_settings():
    """A real error, on any machine with less than 16 TB of memory."""
    program = jax.jit(lambda x: jnp.broadcast_to(x, (2**20, 2**22))).lower(jnp.ones(())).compile()
    with (
        pytest.raises(out_of_memory.OutOfMemoryError) as caught,
        out_of_memory.explained(common.get_config()),
    ):
        jax.block_until_ready(program(jnp.ones(())))
    text = str(caught.value)
    assert "\n" not in text and "Out of memory allocating 17592186044416 bytes" in text
    for words in ("config.batch_size=64", "accumulate=1", "config.remat=True", "`jaxpose plan`"):
        assert words in text


def test_settings_that_are_set_are_not_advised():
    config = common.get_config()
    config.remat = True
    with (
        pytest.raises(
            out_of_memory.OutOfMemoryError,
            match="; lower config.batch_size=64, or raise config.accumulate=1, the micro-batches",
        ),
        out_of_memory.explained(config),
    ):
        raise REFUSED


@pytest.mark.parametrize(
    "error",
    [
        REFUSED,
        ValueError("RESOURCE_EXHAUSTED: Out of memory allocating 12 bytes."),
        jax.errors.JaxRuntimeError("INTERNAL: compile: RESOURCE_EXHAUSTED: Ran out of memory"),
    ],
)
def test_the_forms_of_the_error(error):
    with (
        pytest.raises(out_of_memory.OutOfMemoryError, match="lower config.eval.batch_size=64$"),
        out_of_memory.explained(common.get_config(), training=False),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        jax.errors.JaxRuntimeError("INTERNAL: NCCL operation failed"),
        DamagedError("model cannot be read (ValueError: RESOURCE_EXHAUSTED: No space left)"),
        KeyError("RESOURCE_EXHAUSTED"),
    ],
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as caught, out_of_memory.explained(common.get_config()):
        raise error
    assert caught.value is error


def test_the_evaluation_ends_with_one_line(monkeypatch, capsys):
    program = importlib.import_module("eval")

    def main(*_):
        raise REFUSED

    given = types.SimpleNamespace(config=common.get_config(), results="x", report="x", worst=1)
    monkeypatch.setattr(program, "FLAGS", given)
    monkeypatch.setattr(
        program.command_line, "find_source", lambda _: types.SimpleNamespace(run=None)
    )
    monkeypatch.setattr(program, "main", main)
    assert program.run([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("eval.py: the evaluation needs more memory than the device has (")
    assert line.endswith("; lower config.eval.batch_size=64")
