"""Imported last by the server that processes are forked from: what all of them begin with."""

import gc

from tests.sketches import use_sketches

use_sketches()
gc.collect()
gc.freeze()  # else each process looks through, and so copies, all that was imported
