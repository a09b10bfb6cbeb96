"""Bytes and operations of single instructions."""

import pytest

from jaxpose.plan import hlo, traffic


def instruction_of(line, *others):
    """(instruction, computation, program) of the last line of an entry computation."""
    lines = [*others, line]
    program = hlo.parse("\n".join(["ENTRY %main () -> f32[] {", *(f"  {x}" for x in lines), "}"]))
    *_, last = program.entry.instructions.values()
    return last, program.entry, program


@pytest.mark.parametrize(
    "kind,size,padded,space",
    [
        ("f32[3,3,16,32]{3,2,1,0:T(8,128)}", 3 * 3 * 16 * 32 * 4, 3 * 3 * 16 * 128 * 4, 0),
        ("bf16[8,64,64,16]{2,3,1,0:T(8,128)(2,1)S(1)}", 2**20, 2**21, 1),
        ("f32[]{:T(128)}", 4, 512, 0),
        ("pred[8,17]{1,0:T(8,128)(4,1)}", 136, 1024, 0),
        ("u8[2,5]{1,0}", 10, 10, 0),
        ("f32[7]", 28, 28, 0),
        ("s4[3]{0}", 2, 2, 0),
    ],
)
def test_sizes_of_arrays(kind, size, padded, space):
    (array,) = instruction_of(f"%x = {kind} parameter(0)")[0].arrays
    assert (array.size, array.padded, array.space) == (size, padded, space)


BIG = "%big = f32[16,8,128]{2,1,0:T(8,128)} parameter(0)"
TILE = 8 * 128 * 4


@pytest.mark.parametrize(
    "line,tiles",
    [
        ("%y = f32[16,8,128]{2,1,0:T(8,128)} negate(%big)", 32),
        ("%y = f32[16,8,128]{2,1,0:T(8,128)S(1)} negate(%big)", 16),
        ("%y = f32[2,8,128]{2,1,0:T(8,128)} slice(%big), slice={[0:2], [0:8], [0:128]}", 4),
        ("%y = f32[16,8,128]{2,1,0:T(8,128)} dynamic-update-slice(%big, %row, %i, %i, %i)", 2),
        (
            "%y = ((f32[16,8,128]{2,1,0:T(8,128)}), f32[2,8,128]{2,1,0:T(8,128)S(1)}, s32[]{:S(2)})"
            " slice-start(%big), slice={[0:2], [0:8], [0:128]}",
            2,
        ),
        ("%y = f32[2,8,128]{2,1,0:T(8,128)S(1)} slice-done(%start)", 0),
        ("%y = f32[2,8,128]{2,1,0:T(8,128)} copy-done(%start)", 2),
        ("%y = f32[128,128]{1,0:T(8,128)} bitcast(%big)", 0),
    ],
)
def test_bytes(line, tiles):
    row = "%row = f32[1,8,128]{2,1,0:T(8,128)} parameter(1)"
    index = "%i = s32[]{:T(128)S(6)} parameter(2)"
    assert traffic.hbm_bytes(*instruction_of(line, BIG, row, index)) == tiles * TILE


FUSION = """%renamed (a: f32[16,8,128]) -> f32[128,128] {
  %a = f32[16,8,128]{2,1,0:T(8,128)} parameter(0)
  ROOT %b = f32[128,128]{1,0:T(8,128)} bitcast(%a)
}

%first (c: f32[16,8,128]) -> f32[2,8,128] {
  %c = f32[16,8,128]{2,1,0:T(8,128)} parameter(0)
  ROOT %d = f32[2,8,128]{2,1,0:T(8,128)} slice(%c), slice={[0:2], [0:8], [0:128]}
}

%fused (x: f32[16,8,128], y: f32[16,8,128]) -> f32[2,8,128] {
  %x = f32[16,8,128]{2,1,0:T(8,128)} parameter(0)
  %y = f32[16,8,128]{2,1,0:T(8,128)} parameter(1)
  %e = f32[128,128]{1,0:T(8,128)} fusion(%x), kind=kLoop, calls=%renamed
  %f = f32[2,8,128]{2,1,0:T(8,128)} fusion(%y), kind=kLoop, calls=%first
  ROOT %g = f32[2,8,128]{2,1,0:T(8,128)} convolution(%e, %f), dim_labels=b0f_0io->b0f
}

ENTRY %main () -> f32[2,8,128] {
  %p = f32[16,8,128]{2,1,0:T(8,128)} parameter(0)
  %q = f32[16,8,128]{2,1,0:T(8,128)} parameter(1)
  ROOT %r = f32[2,8,128]{2,1,0:T(8,128)} fusion(%p, %q), kind=kOutput, calls=%fused
}"""


def test_a_fusion_reads_what_an_inner_one_only_renames_and_the_slice_that_another_takes():
    program = hlo.parse(FUSION)
    moved = traffic.hbm_bytes(program.entry.root, program.entry, program)
    assert moved == (16 + 2 + 2) * TILE  # %p, a slice of %q, the result


def convolution(image, kernel, result, attributes):
    line = f"%y = f32[{result}]{{3,2,1,0}} convolution(%x, %w), {attributes}"
    operands = [
        f"%x = f32[{image}]{{3,2,1,0}} parameter(0)",
        f"%w = f32[{kernel}]{{3,2,1,0}} parameter(1)",
    ]
    return traffic.flops(*instruction_of(line, *operands))


def test_operations_of_a_strided_convolution():
    # Rows of the result read rows -1..1 and 1..3 of four: 2 + 3 pairs, and as many columns.
    labels = "window={size=3x3 stride=2x2 pad=1_1x1_1}, dim_labels=b01f_01io->b01f"
    assert convolution("5,4,4,6", "3,3,6,7", "5,2,2,7", labels) == 2 * 5**2 * 5 * 6 * 7


def test_operations_of_a_depthwise_convolution():
    labels = "window={size=3x3 pad=1_1x1_1}, dim_labels=b01f_01io->b01f, feature_group_count=6"
    assert convolution("1,4,4,6", "3,3,1,6", "1,4,4,6", labels) == 2 * 10**2 * 6


def test_operations_of_a_transposed_convolution_leave_out_the_zeros():
    # 4x4 kernel, stride 2, padding 1: each of 3 values meets 4 rows, but the first and the last
    # lose one row each at the edges.
    labels = "window={size=4x4 pad=2_2x2_2 lhs_dilate=2x2}, dim_labels=b01f_01io->b01f"
    assert convolution("1,3,3,2", "4,4,2,5", "1,6,6,5", labels) == 2 * (3 * 4 - 2) ** 2 * 2 * 5


def test_operations_of_the_gradient_of_a_depthwise_kernel():
    labels = "window={size=4x4 pad=1_1x1_1}, dim_labels=f01b_i01o->01bf, batch_group_count=6"
    # Six channels apart: 3x3 results, 8 images to sum over, 10 pairs in each direction.
    assert convolution("8,4,4,6", "8,4,4,6", "3,3,1,6", labels) == 2 * 10**2 * 8 * 6


def test_operations_of_a_matrix_product():
    line = "%y = f32[3,5]{1,0} dot(%x, %w), lhs_contracting_dims={1}, rhs_contracting_dims={0}"
    operands = ["%x = f32[3,4]{1,0} parameter(0)", "%w = f32[4,5]{1,0} parameter(1)"]
    assert traffic.flops(*instruction_of(line, *operands)) == 2 * 3 * 4 * 5
