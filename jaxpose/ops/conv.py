"""Convolutions and transposed convolutions. NHWC images, HWIO kernels, PyTorch's symmetric padding.

The native form is ``lax.conv_general_dilated``. XLA's CPU backend runs depthwise and transposed
convolutions tens of times slower than a sum of shifted products; for these there are fast forms
(`jaxpose.ops.taps`, and for small groups `jaxpose.ops.rotation`). It runs dense convolutions well,
but not all their gradients; for these there is a custom gradient (`_conv_vjp`). On TPU, depthwise
convolutions and those of few channels have forms of their own (`jaxpose.ops.blocks`,
`jaxpose.ops.bands`). Products are summed in float32 for every dtype; the result has the dtype of
``x``.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

from jaxpose.ops import bands, rotation, taps
from jaxpose.ops.blocks import block_diagonal, block_size, merge_groups, merged_groups
from jaxpose.ops.named import call, gradients_of, with_gradient

Size = int | tuple[int, ...]  # (h, w); any length, because a slice of a shape has that type


def pair(size: Size) -> list[int]:
    """An int or (h, w) as a list [h, w]."""
    return [size, size] if isinstance(size, int) else [int(n) for n in size]


def _check(op: str, x: jax.Array, w: jax.Array, expected: tuple[int | None, int | None]) -> None:
    """Checks shapes; ``expected`` holds the kernel's last two sizes, None where any size fits."""
    if x.ndim != 4 or w.ndim != 4:
        raise ValueError(
            f"{op}: x must be [B,H,W,C] and w [kh,kw,I,O], got {x.shape} and {w.shape}"
        )
    if any(e is not None and e != n for e, n in zip(expected, w.shape[2:], strict=True)):
        raise ValueError(f"{op}: kernel {w.shape} does not fit {x.shape[3]} input channels")


def _dilated(dilation: Size) -> dict[str, list[int]]:
    """The static argument `dilation`, left out of the operator's name where it is 1."""
    return {} if pair(dilation) == [1, 1] else {"dilation": pair(dilation)}


def conv(
    x: jax.Array, w: jax.Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> jax.Array:
    """Dense convolution.

    out[b,i,j,o] = sum over u,v,c of x[b, i*s+u*d-p, j*s+v*d-p, c] * w[u,v,c,o], zero outside the
    image.

    Args:
      x: [B, H, W, Cin].
      w: [kh, kw, Cin, Cout].
      stride: int or (h, w).
      padding: zeros on both sides, int or (h, w).
      dilation: distance between kernel taps, int or (h, w).

    Returns:
      [B, (H+2p-d(kh-1)-1)//s+1, (W+2p-d(kw-1)-1)//s+1, Cout]. PyTorch: ``F.conv2d(x, w, None,
      stride, padding, dilation)``.
    """
    _check("conv", x, w, (x.shape[-1], None))
    return call(_conv, x, w, stride=pair(stride), padding=pair(padding), **_dilated(dilation))


def depthwise_conv(
    x: jax.Array, w: jax.Array, *, stride: Size = 1, padding: Size = 0, dilation: Size = 1
) -> jax.Array:
    """Depthwise convolution: every channel has its own kernel.

    out[b,i,j,c] = sum over u,v of x[b, i*s+u*d-p, j*s+v*d-p, c] * w[u,v,0,c].

    Args:
      x: [B, H, W, C].
      w: [kh, kw, 1, C].
      stride: int or (h, w).
      padding: zeros on both sides, int or (h, w).
      dilation: distance between kernel taps, int or (h, w).

    Returns:
      [B, (H+2p-d(kh-1)-1)//s+1, (W+2p-d(kw-1)-1)//s+1, C]. PyTorch: ``F.conv2d(x, w, None, stride,
      padding, dilation, groups=C)``.
    """
    _check("depthwise_conv", x, w, (1, x.shape[-1]))
    window = dict(stride=pair(stride), padding=pair(padding), **_dilated(dilation))
    return call(_depthwise_conv, x, w, **window)


def grouped_conv(
    x: jax.Array, w: jax.Array, *, groups: int, stride: Size = 1, padding: Size = 0
) -> jax.Array:
    """Grouped convolution: group g maps its Cin/groups input channels to its Cout/groups outputs.

    Args:
      x: [B, H, W, Cin].
      w: [kh, kw, Cin/groups, Cout], output channels of one group side by side.
      groups: divides Cin and Cout.
      stride: int or (h, w).
      padding: zeros on both sides, int or (h, w).

    Returns:
      [B, (H+2p-kh)//s+1, (W+2p-kw)//s+1, Cout]. PyTorch: ``F.conv2d(..., groups=groups)``.
    """
    if x.shape[-1] % groups or w.shape[-1] % groups:
        raise ValueError(
            f"grouped_conv: {groups} groups do not divide {x.shape[-1]} or {w.shape[-1]} channels"
        )
    _check("grouped_conv", x, w, (x.shape[-1] // groups, None))
    return call(_grouped_conv, x, w, groups=groups, stride=pair(stride), padding=pair(padding))


def conv_transpose(x: jax.Array, w: jax.Array, *, stride: Size = 2, padding: Size = 1) -> jax.Array:
    """Dense transposed convolution.

    A convolution of ``x`` with stride-1 zeros inserted between its pixels, padded by k-1-p; ``w``
    is oriented for that convolution: PyTorch's [in, out, kh, kw] kernel flipped in both spatial
    axes and transposed.

    Args:
      x: [B, H, W, Cin].
      w: [kh, kw, Cin, Cout].
      stride: int or (h, w).
      padding: PyTorch's ``padding`` of ConvTranspose2d, int or (h, w).

    Returns:
      [B, (H-1)*s-2p+kh, (W-1)*s-2p+kw, Cout]. PyTorch: ``F.conv_transpose2d(x, w', None, stride,
      padding)``.
    """
    _check("conv_transpose", x, w, (x.shape[-1], None))
    return call(_conv_transpose, x, w, stride=pair(stride), padding=pair(padding))


def depthwise_conv_transpose(
    x: jax.Array, w: jax.Array, *, stride: Size = 2, padding: Size = 1
) -> jax.Array:
    """Depthwise transposed convolution; orientation of ``w`` as in `conv_transpose`.

    Args:
      x: [B, H, W, C].
      w: [kh, kw, 1, C].
      stride: int or (h, w).
      padding: PyTorch's ``padding`` of ConvTranspose2d, int or (h, w).

    Returns:
      [B, (H-1)*s-2p+kh, (W-1)*s-2p+kw, C]. PyTorch: ``F.conv_transpose2d(..., groups=C)``.
    """
    _check("depthwise_conv_transpose", x, w, (1, x.shape[-1]))
    return call(_depthwise_conv_transpose, x, w, stride=pair(stride), padding=pair(padding))


def _native(x, w, *, stride=(1, 1), padding, insert=(1, 1), dilation=(1, 1), groups=1):
    """`padding`, per axis: zeros on both sides, or (before, after); negative numbers crop."""
    # On CPU and in float32 the accumulator is float32 anyway; a bfloat16 convolution accumulates in
    # float32 on every accelerator, so asking for a float32 result would only cost memory.
    return lax.conv_general_dilated(
        x,
        w.astype(x.dtype),
        stride,
        [(p, p) if isinstance(p, int) else p for p in padding],
        lhs_dilation=insert,
        rhs_dilation=dilation,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def _conv(x, w, *, impl, stride, padding, dilation=(1, 1)):
    window = dict(stride=tuple(stride), padding=tuple(padding), dilation=tuple(dilation))
    native = functools.partial(_native, **window)
    if w.shape[:2] != (1, 1) or any(padding):
        few = None
        if taps.few_weights(w, window["stride"]):
            few = functools.partial(_conv_of_few_weights, **window)
        gradients = functools.partial(_conv_vjp, **window)
        tpu = (bands.conv, bands.gradients) if bands.fits(w, **window) else None
        return with_gradient(impl, native, few, gradients, tpu)(x, w)
    stride, size = tuple(stride), x.shape[1:3]

    def fast(x, w):
        return taps.gather(x, w.astype(x.dtype), stride, (0, 0)).astype(x.dtype)

    def vjp(x, w, g):
        dx = taps.scatter(g, w.astype(x.dtype).swapaxes(2, 3), stride, (0, 0), size)
        dw = taps.correlate(x, g, (1, 1), stride, (0, 0), dense=True)
        return dx.astype(x.dtype), dw.astype(w.dtype)

    return with_gradient(impl, native, fast, vjp)(x, w)


def _conv_of_few_weights(x, w, **window):
    return taps.gather(x, w.astype(x.dtype), **window).astype(x.dtype)


def _conv_vjp(x, w, g, *, stride, padding, dilation):
    """The gradients in forms that are fast on CPU.

    JAX's gradients keep the operands as they are and permute the dimension numbers instead. On CPU,
    XLA converts such a convolution to its fast form, but not inside a loop, where it took 10 to 40
    times as long (XLA of JAX 0.10).
    """
    kernel = w.astype(x.dtype).swapaxes(2, 3)
    dx = taps.scatter(g, kernel, stride, padding, x.shape[1:3], dilation)
    dw = taps.correlate(x, g, w.shape[:2], stride, padding, dense=True, dilation=dilation)
    return dx.astype(x.dtype), dw.astype(w.dtype)


def _gradient_padding(x, w, g, stride, padding, dilation=(1, 1)):
    """Padding (before, after) of g and of x, per axis, for the gradients of x and of w."""
    before_x, before_w = [], []
    for axis in range(2):
        image, reach = x.shape[1 + axis], (w.shape[axis] - 1) * dilation[axis]
        spread = (g.shape[1 + axis] - 1) * stride[axis]  # from the first output to the last
        low = padding[axis]
        before_x.append((reach - low, image - 1 - spread + low))
        before_w.append((low, reach + spread + 1 - image - low))
    return before_x, before_w


def _depthwise_conv(x, w, *, impl, stride, padding, dilation=(1, 1)):
    stride, padding, dilation = tuple(stride), tuple(padding), tuple(dilation)
    window, size = dict(stride=stride, padding=padding, dilation=dilation), x.shape[1:3]
    native = functools.partial(_native, **window, groups=x.shape[-1])

    def fast(x, w):
        return taps.gather(x, w[:, :, 0], **window).astype(x.dtype)

    def vjp(x, w, g):
        dx = taps.scatter(g, w[:, :, 0], size=size, **window)
        dw = taps.correlate(x, g, w.shape[:2], dense=False, **window)
        return dx.astype(x.dtype), dw[:, :, None].astype(w.dtype)

    tpu = None
    if dilation == (1, 1):
        tpu = _depthwise_in_blocks(x, w, native, stride, padding)
    return with_gradient(impl, native, fast, vjp, tpu)(x, w)


def _depthwise_in_blocks(x, w, native, stride, padding):
    """(function, gradients) of a depthwise convolution for TPUs, or None for the native form."""
    n = block_size(x, w.shape[:2])
    if n is None:
        return None
    grouped = functools.partial(_native, groups=x.shape[-1] // n)

    def blocks(x, w):
        return grouped(x, block_diagonal(w, n), stride=stride, padding=padding)

    def vjp(x, w, g):
        before_x, _ = _gradient_padding(x, w, g, stride, padding)
        # Of a diagonal matrix, the transpose is the matrix itself.
        dx = grouped(g, block_diagonal(w[::-1, ::-1], n), padding=before_x, insert=stride)
        return dx, jax.vjp(functools.partial(native, x), w)[1](g)[0]

    return blocks, vjp


def _grouped_conv(x, w, *, impl, groups, stride, padding):
    native = functools.partial(_native, stride=stride, padding=padding, groups=groups)
    stride, padding, size = tuple(stride), tuple(padding), x.shape[1:3]
    tpu = None
    if (n := merged_groups(w, groups)) > 1:
        tpu = _grouped_in_merged_groups(groups, n, stride, padding)
    if w.shape[:2] == (1, 1):
        fast, vjp = _grouped_pointwise(groups, stride, padding, size)
    elif x.shape[-1] == w.shape[-1]:
        fast, vjp = rotation.forms(groups, stride, padding, size)
    else:
        fast, vjp = None, gradients_of(native)
    return with_gradient(impl, native, fast, vjp, tpu)(x, w)


def _grouped_in_merged_groups(groups, n, stride, padding):
    """(function, gradients) of a grouped convolution for TPUs, n groups in one."""

    def merged(x, w):
        kernel = merge_groups(w, groups, n)
        return _native(x, kernel, stride=stride, padding=padding, groups=groups // n)

    return merged, gradients_of(merged)


def _grouped_pointwise(groups, stride, padding, size):
    """One matrix product per group."""

    def split(*arrays):
        return zip(*(jnp.split(a, groups, -1) for a in arrays), strict=True)

    def fast(x, w):
        parts = [taps.gather(x, w, stride, padding) for x, w in split(x, w.astype(x.dtype))]
        return jnp.concatenate(parts, -1).astype(x.dtype)

    def vjp(x, w, g):
        dx, dw = [], []
        for xi, wi, gi in split(x, w.astype(x.dtype), g):
            dx.append(taps.scatter(gi, wi.swapaxes(2, 3), stride, padding, size))
            dw.append(taps.correlate(xi, gi, (1, 1), stride, padding, dense=True))
        return jnp.concatenate(dx, -1).astype(x.dtype), jnp.concatenate(dw, -1).astype(w.dtype)

    return fast, vjp


def _transposed(x, w, impl, stride, padding, depthwise):
    """Both transposed convolutions: the transpose of a convolution with the flipped kernel."""
    kernel = w.shape[:2]
    native = functools.partial(
        _native,
        padding=[k - 1 - p for k, p in zip(kernel, padding, strict=True)],
        insert=stride,
        groups=x.shape[-1] if depthwise else 1,
    )
    stride, padding = tuple(stride), tuple(padding)
    size = tuple(
        (n - 1) * s - 2 * p + k
        for n, s, p, k in zip(x.shape[1:3], stride, padding, kernel, strict=True)
    )

    def flipped(w, dtype):
        w = w[::-1, ::-1]
        return w[:, :, 0] if depthwise else w.astype(dtype)

    def fast(x, w):
        return taps.scatter(x, flipped(w, x.dtype), stride, padding, size).astype(x.dtype)

    def vjp(x, w, g):
        kernel_t = flipped(w, x.dtype)
        kernel_t = kernel_t if depthwise else kernel_t.swapaxes(2, 3)
        dx = taps.gather(g, kernel_t, stride, padding)
        dw = taps.correlate(g, x, kernel, stride, padding, dense=not depthwise)
        dw = dw[:, :, None] if depthwise else dw.swapaxes(2, 3)
        return dx.astype(x.dtype), dw[::-1, ::-1].astype(w.dtype)

    n = block_size(x, kernel) if depthwise else None
    tpu = None if n is None else _transposed_in_blocks(x, n, native, stride, padding)
    return with_gradient(impl, native, fast, vjp, tpu)(x, w)


def _transposed_in_blocks(x, n, native, stride, padding):
    """(function, gradients) of a depthwise transposed convolution for TPUs."""
    groups = x.shape[-1] // n

    def blocks(x, w):
        return native(x, block_diagonal(w, n), groups=groups)

    def vjp(x, w, g):
        kernel = block_diagonal(w[::-1, ::-1], n)
        dx = _native(g, kernel, stride=stride, padding=padding, groups=groups)
        return dx, jax.vjp(functools.partial(native, x), w)[1](g)[0]

    return blocks, vjp


def _conv_transpose(x, w, *, impl, stride, padding):
    return _transposed(x, w, impl, stride, padding, depthwise=False)


def _depthwise_conv_transpose(x, w, *, impl, stride, padding):
    return _transposed(x, w, impl, stride, padding, depthwise=True)
