"""Peaks by the name of the device, and FLOPs of a program before compilation."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxpose.plan import hlo, utilization
from jaxpose.plan.chips import CHIPS
from jaxpose.plan.gpus import GPUS
from jaxpose.plan.profile import make_profile
from jaxpose.plan.utilization import peak_bandwidth, peak_flops, step_bytes, step_flops


def test_peaks_of_tpus_are_those_of_the_plan():
    kinds = {"TPU v4": "v4", "TPU v5 lite": "v5e", "TPU v5": "v5p", "TPU v6 lite": "v6e"}
    assert {kind: peak_flops(kind) for kind in kinds} == {
        kind: CHIPS[chip].flops for kind, chip in kinds.items()
    }
    assert set(kinds.values()) == set(CHIPS)


@pytest.mark.parametrize(
    ("kind", "peak"),
    [
        ("NVIDIA A100-SXM4-40GB", 312e12),
        ("NVIDIA A100-PCIE-40GB", 312e12),
        ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA H100 80GB HBM3", 989.5e12),
        ("NVIDIA H200", 989.5e12),
        ("NVIDIA H100 PCIe", 756.5e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362.05e12),
        ("Tesla T4", 65e12),
        ("NVIDIA GeForce RTX 4090", 165.2e12),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("NVIDIA GeForce GTX 1650 Ti", None),
        ("TPU v2", None),
        ("cpu", None),
    ],
)
def test_peaks_of_other_devices(kind, peak):
    assert peak_flops(kind) == peak


def test_bandwidths():
    assert peak_bandwidth("NVIDIA H200") == 4.8e12 and peak_bandwidth("TPU v5e") == 819e9
    assert peak_bandwidth("NVIDIA H200 MIG 1g.18gb") is None and peak_bandwidth("cpu") is None


def test_a_balanced_gpu_computes_tens_to_hundreds_of_operations_per_byte():
    assert all(50 < gpu.flops / gpu.bandwidth < 450 and gpu.source for gpu in GPUS)


def test_bytes_of_a_compiled_program():
    def f(x):
        return lax.scan(lambda y, _: (jnp.sin(y), None), x, None, length=5)[0]

    once = jax.jit(jnp.sin).lower(jnp.ones(1000)).compile()
    assert step_bytes(once) == 2 * 4000
    looped = jax.jit(f).lower(jnp.ones(1000)).compile()
    assert 5 * 2 * 4000 <= step_bytes(looped) < 6 * 2 * 4000 + 1000


CUDNN = """HloModule m, is_scheduled=true

ENTRY %main.5 (p.1: bf16[2,4,4,8], p.2: bf16[16,1,1,8]) -> bf16[2,4,4,16] {
  %p.1 = bf16[2,4,4,8]{3,2,1,0} parameter(0)
  %p.2 = bf16[16,1,1,8]{3,2,1,0} parameter(1)
  %cudnn-conv.1 = (bf16[2,4,4,16]{3,2,1,0}, u8[0]{0}) custom-call(%p.1, %p.2), window={size=1x1}, \
dim_labels=b01f_o01i->b01f, custom_call_target="__cudnn$convForward"
  ROOT %get-tuple-element.1 = bf16[2,4,4,16]{3,2,1,0} get-tuple-element(%cudnn-conv.1), index=0
}
"""


def test_bytes_of_a_program_for_a_gpu_whose_convolutions_are_calls():
    class Program:
        def as_text(self):
            return CUDNN

    assert step_bytes(Program()) == 2 * (2 * 4 * 4 * 8 + 16 * 8 + 2 * 4 * 4 * 16)


def lowered_loop(length):
    """A loop of convolutions and its gradient: three convolutions per iteration."""

    def f(x, w):
        def body(x, _):
            return lax.conv(x, w, (1, 1), "VALID"), None

        return lax.scan(body, x, None, length=length)[0].sum()

    # A kernel of 1x1 needs no padding, so every product counts.
    return jax.jit(jax.grad(f, (0, 1))).lower(jnp.ones((2, 8, 16, 16)), jnp.ones((8, 8, 1, 1)))


@pytest.mark.parametrize("length", [1, 5])
def test_loops_count_as_often_as_they_run(length):
    convolution = 2 * 2 * 16 * 16 * 8 * 8
    assert step_flops(lowered_loop(length)) == 3 * length * convolution


def test_the_count_is_that_of_the_compiled_program():
    lowered = jax.jit(jax.grad(lambda w, x: ((x @ w) ** 2).sum())).lower(
        jnp.ones((32, 8)), jnp.ones((16, 32))
    )
    compiled = make_profile(hlo.parse(lowered.compile().as_text())).total.flops
    assert step_flops(lowered) == compiled == 2 * 2 * 16 * 32 * 8


@pytest.mark.parametrize(("body", "count"), [(lambda y: y @ y, None), (lambda y: y / 2, 128)])
def test_products_in_a_loop_of_unknown_length_have_no_count(body, count):
    def f(x):
        return lax.while_loop(lambda y: y.sum() > 1, body, x) @ x

    assert step_flops(jax.jit(f).lower(jnp.ones((4, 4)))) == count


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_accelerators_need_not_be_there(platform):
    products = jax.jit(lambda a, b: a @ b).trace(jnp.ones((4, 8)), jnp.ones((8, 2)))
    assert step_flops(products.lower(lowering_platforms=(platform,))) == 2 * 4 * 8 * 2


@pytest.mark.parametrize("text", ["", "HloModule m\n\nENTRY main {\n  a = f32[?] dot()\n}\n"])
def test_a_program_that_is_not_understood_has_no_count(text, monkeypatch):
    monkeypatch.setattr(utilization.jax_api, "hlo_text", lambda lowered: text)
    assert step_flops(jax.jit(lambda x: x).lower(jnp.ones(2))) is None
