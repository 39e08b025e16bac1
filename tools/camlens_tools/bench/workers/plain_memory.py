"""The memory of a process that holds one plain ONNX Runtime session and nothing else.

    bench.workers.plain_memory LIBRARY MODEL.onnx SHAPE --threads N     SHAPE: 1,3,224,224

Without the onnxruntime package and numpy: this calls the C API of the same shared library that
camlens loads, as a small C program would, and subtracts the memory that Python itself used before
the library was loaded. Prints one JSON object: MiB after 5 passes, and after a batch of 8.
"""

import argparse
import ctypes
import json
import math
import time

# Indices in `struct OrtApi`, which only grows at its end (onnxruntime_c_api.h).
GET_ERROR_MESSAGE, CREATE_ENV, CREATE_SESSION, RUN, CREATE_SESSION_OPTIONS = 2, 3, 7, 9, 10
SET_INTRA_OP_NUM_THREADS, GET_INPUT_NAME, GET_OUTPUT_NAME, CREATE_TENSOR = 24, 36, 37, 49
CREATE_CPU_MEMORY_INFO, GET_ALLOCATOR, RELEASE_VALUE = 69, 78, 96
API_VERSION, FLOAT, WARNING, DEVICE_ALLOCATOR, DEFAULT_MEMORY = 17, 1, 2, 0, 0

FIELDS = ("VmRSS", "VmHWM", "RssAnon", "RssFile")


def status():
    with open("/proc/self/status", encoding="ascii") as file:
        lines = dict(line.split(":", 1) for line in file)
    return {field: int(lines[field].split()[0]) / 1024 for field in FIELDS}


class Runtime:
    """The few functions of the C API that a session needs."""

    def __init__(self, library):
        base = ctypes.CDLL(library)
        base.OrtGetApiBase.restype = ctypes.POINTER(ctypes.c_void_p)
        get_api = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_uint32)(
            base.OrtGetApiBase()[0]
        )
        self.table = get_api(API_VERSION)

    def function(self, index, result=ctypes.c_void_p):
        return ctypes.CFUNCTYPE(result)(self.table[index])

    def call(self, index, *arguments):
        failed = self.function(index)(*arguments)
        if failed:
            text = self.function(GET_ERROR_MESSAGE, ctypes.c_char_p)(ctypes.c_void_p(failed))
            raise RuntimeError(text.decode())

    def make(self, index, *arguments):
        """Calls a function that writes a new object to its last parameter; returns the object."""
        made = ctypes.c_void_p()
        self.call(index, *arguments, ctypes.byref(made))
        return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("library")
    parser.add_argument("model")
    parser.add_argument("shape", type=lambda text: [int(side) for side in text.split(",")])
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    before = status()

    runtime = Runtime(args.library)
    environment = runtime.make(CREATE_ENV, WARNING, b"bench")
    options = runtime.make(CREATE_SESSION_OPTIONS)
    runtime.call(SET_INTRA_OP_NUM_THREADS, options, args.threads)
    started = time.perf_counter()
    session = runtime.make(CREATE_SESSION, environment, args.model.encode(), options)
    load_s = time.perf_counter() - started
    allocator = runtime.make(GET_ALLOCATOR)
    memory = runtime.make(CREATE_CPU_MEMORY_INFO, DEVICE_ALLOCATOR, DEFAULT_MEMORY)
    name = runtime.make(GET_INPUT_NAME, session, ctypes.c_size_t(0), allocator)
    output = runtime.make(GET_OUTPUT_NAME, session, ctypes.c_size_t(0), allocator)

    def run(batch):
        sides = [batch, *args.shape[1:]]
        pixels = (ctypes.c_float * math.prod(sides))()
        ctypes.memset(pixels, 0x3C, ctypes.sizeof(pixels))  # 0.0115 in every element
        shape = (ctypes.c_int64 * len(sides))(*sides)
        tensor = runtime.make(
            CREATE_TENSOR,
            memory,
            pixels,
            ctypes.c_size_t(ctypes.sizeof(pixels)),
            shape,
            ctypes.c_size_t(len(sides)),
            FLOAT,
        )
        output_value = ctypes.c_void_p()
        one = ctypes.c_size_t(1)
        runtime.call(
            RUN,
            session,
            None,
            ctypes.byref(name),
            ctypes.byref(tensor),
            one,
            ctypes.byref(output),
            one,
            ctypes.byref(output_value),
        )
        runtime.function(RELEASE_VALUE, None)(tensor)
        runtime.function(RELEASE_VALUE, None)(output_value)

    for _ in range(5):
        run(1)
    single = status()
    run(8)
    batch = status()
    print(
        json.dumps(
            {
                "single": {field: single[field] - before[field] for field in FIELDS},
                "batch": {field: batch[field] - before[field] for field in FIELDS},
                "load_s": load_s,
            }
        )
    )


if __name__ == "__main__":
    main()
