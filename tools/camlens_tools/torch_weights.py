"""Reads a PyTorch state dict in the format before 1.6, without torch and without running its code.

Such a file holds five pickles (magic number, protocol version, system information, the state dict,
the keys of the storages) and then, for each key, an element count and the raw elements. The
unpickler below builds only ordered dicts and tensor views; it refuses every other name in the file,
so a file cannot run code.
"""

import pickle
import struct
from array import array
from collections import OrderedDict, namedtuple

MAGIC = 0x1950A86A20F9469CFC6C

Tensor = namedtuple("Tensor", "shape values")  # values: an array in row-major order
_View = namedtuple("_View", "storage offset shape stride")


def _rebuild_tensor(storage, offset, shape, stride, *_unused):
    return _View(storage, offset, shape, stride)


class _Unpickler(pickle.Unpickler):
    KNOWN = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,  # before PyTorch 0.4
        ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
        ("torch", "FloatStorage"): "f",
        ("torch", "LongStorage"): "q",
    }

    def find_class(self, module, name):
        try:
            return self.KNOWN[module, name]
        except KeyError:
            raise ValueError(f"not a plain state dict: it names {module}.{name}") from None

    def persistent_load(self, pid):
        _kind, typecode, key, _location, count, _view = pid
        return (key, typecode, count)


def load(path):
    """The file's tensors by name, in row-major order whatever their strides in the file."""
    with open(path, "rb") as file:

        def unpickle():
            return _Unpickler(file).load()

        if unpickle() != MAGIC:
            raise ValueError(f"{path}: not a legacy PyTorch file")
        _protocol, _system = unpickle(), unpickle()
        views = unpickle()
        typecodes = {view.storage[0]: view.storage[1] for view in views.values()}
        storages = {}
        for key in unpickle():
            (count,) = struct.unpack("<q", file.read(8))
            storages[key] = array(typecodes[key])
            storages[key].fromfile(file, count)
    return {
        name: Tensor(view.shape, _row_major(storages[view.storage[0]], view))
        for name, view in views.items()
    }


def _row_major(data, view):
    axes = [(size, step) for size, step in zip(view.shape, view.stride) if size > 1]
    count, is_contiguous = 1, True
    for size, step in reversed(axes):
        is_contiguous &= step == count
        count *= size
    if is_contiguous:
        return data[view.offset : view.offset + count]
    out = array(data.typecode)

    def walk(offset, axis):
        size, step = axes[axis]
        if axis + 1 == len(axes):
            out.extend(data[offset : offset + (size - 1) * step + 1 : step])
            return
        for index in range(size):
            walk(offset + index * step, axis + 1)

    walk(view.offset, 0)
    return out
