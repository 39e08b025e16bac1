"""What every scenario is given."""

from camlens_tools.bench.load.servers import Camlens, PlainServer


class Context:
    """The binaries, the number of compute threads, and how long to measure.

    `scale` shortens every duration, for a smoke run; 1 is the whole measurement.
    """

    def __init__(self, binary, plain, threads, scale):
        self.binary, self.plain, self.threads, self.scale = binary, plain, threads, scale

    def seconds(self, whole):
        return max(1.0, whole * self.scale)

    def camlens(self, settings=None, prepare=None):
        return Camlens(self.binary, self.threads, settings, prepare)

    def plain_server(self, prepare=None):
        return PlainServer(self.plain, self.threads, prepare)
