"""Imported by the server that processes are forked from: what all of them begin with."""

import gc
from importlib import import_module

gc.disable()  # its rounds would be a third of what follows
for name in ("torch._dynamo", "torch.distributed.run", "dgl_dysign.experiments.train", "tests.training.link_cases"):
    import_module(name)  # the first is what optimizers want
import_module("tests.sketches").use_sketches()
gc.collect()
gc.freeze()  # else each process looks through, and so copies, all that was imported
gc.enable()
