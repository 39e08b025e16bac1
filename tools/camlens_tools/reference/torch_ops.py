"""ONNX's convolutions and pools as functions of torch tensors, of any float type.

Shared by the interpreter, whose gradients come from autograd, and by conformance.exact. Pads are
ONNX's: all begins, then all ends.
"""

import itertools

import torch
import torch.nn.functional as F

# Two values of a pooling window count as equal if they differ by less, relative to the larger. In
# float64, sums of the same terms in another order differ by 1e-15.
TIE = {torch.float64: 1e-12}


def pad(x, pads, value):
    """Pads all axes of `[N, C, ...]` except the first two."""
    axes = x.ndim - 2
    pads = list(pads or [0] * (2 * axes))
    # torch lists pads from the last axis to the first.
    reversed_pads = [
        size for axis in reversed(range(axes)) for size in (pads[axis], pads[axes + axis])
    ]
    return F.pad(x, reversed_pads, value=value) if any(pads) else x


def explicit_pads(auto_pad, x, kernel, strides, dilations, pads):
    """The explicit pads for ONNX's `auto_pad`."""
    if auto_pad in (None, "", "NOTSET"):
        return pads
    if auto_pad == "VALID":
        return None
    found = []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations):
        total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
        small = total // 2
        found.append((small, total - small) if auto_pad == "SAME_UPPER" else (total - small, small))
    return [begin for begin, _ in found] + [end for _, end in found]


def conv(x, w, b=None, *, auto_pad=None, dilations=None, group=None, pads=None, strides=None):
    axes = w.ndim - 2
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    pads = explicit_pads(auto_pad, x, w.shape[2:], strides, dilations, pads)
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    return convolve(pad(x, pads, 0.0), w, b, strides, 0, dilations, group or 1)


def conv_transpose(
    x, w, b=None, *, dilations=None, group=None, output_padding=None, pads=None, strides=None
):
    """Of two spatial axes, with explicit pads."""
    pads, extra = pads or [0, 0, 0, 0], output_padding or [0, 0]
    full = F.conv_transpose2d(x, w, b, strides or [1, 1], 0, 0, group or 1, dilations or [1, 1])
    full = F.pad(full, (0, extra[1], 0, extra[0]))
    height, width = full.shape[2:]
    return full[:, :, pads[0] : height - pads[2], pads[1] : width - pads[3]]


def windows(x, kernel, strides, dilations, pads, ceil_mode, value):
    """The shifted views of `[N, C, ...]` that a pool compares, in the order of its window.

    View i holds the i-th element of every window; positions outside x hold `value`.
    """
    axes = len(kernel)
    pads, sizes = list(pads or [0] * (2 * axes)), []
    for axis in range(axes):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        free = x.shape[2 + axis] + pads[axis] + pads[axes + axis] - reach
        steps = free // strides[axis]
        if ceil_mode:
            steps = -(-free // strides[axis])
            # A window must begin within x or the padding before it.
            if steps * strides[axis] >= x.shape[2 + axis] + pads[axis]:
                steps -= 1
        sizes.append(steps + 1)
        pads[axes + axis] += max(steps * strides[axis] - free, 0)
    wide = pad(x, pads, value)
    for offset in itertools.product(*(range(size) for size in kernel)):
        slices = [
            slice(o * d, o * d + (size - 1) * s + 1, s)
            for o, d, s, size in zip(offset, dilations, strides, sizes)
        ]
        yield wide[(..., *slices)]


def max_pool(
    x,
    *,
    kernel_shape,
    auto_pad=None,
    ceil_mode=None,
    dilations=None,
    pads=None,
    strides=None,
):
    """The first of equal values takes the gradient, as in ONNX Runtime and torch.

    Values that are equal in exact arithmetic count as equal in float64, too.
    """
    axes = len(kernel_shape)
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    pads = explicit_pads(auto_pad, x, kernel_shape, strides, dilations, pads)
    views = list(windows(x, kernel_shape, strides, dilations, pads, ceil_mode, -torch.inf))
    with torch.no_grad():
        largest = torch.stack(views).amax(0)
        enough = largest - largest.abs() * TIE.get(x.dtype, 0.0)
    found = views[-1]
    for view in reversed(views[:-1]):
        found = torch.where(view >= enough, view, found)
    return found


def average_pool(
    x,
    *,
    kernel_shape,
    auto_pad=None,
    ceil_mode=None,
    count_include_pad=None,
    dilations=None,
    pads=None,
    strides=None,
):
    axes = len(kernel_shape)
    strides, dilations = strides or [1] * axes, dilations or [1] * axes
    pads = explicit_pads(auto_pad, x, kernel_shape, strides, dilations, pads)
    ones = torch.ones_like(x[:1, :1])
    if count_include_pad:
        # The padding counts, but not what `ceil_mode` adds to it.
        x, ones = pad(x, pads, 0.0), pad(ones, pads, 1.0)
        pads = None
    options = (kernel_shape, strides, dilations, pads, ceil_mode, 0.0)
    return sum(windows(x, *options)) / sum(windows(ones, *options))
