"""Frozen: what was imported before this is none of the garbage collector's business.

A collection in a forked process would look at every object of every library, and so copy the pages
that hold them: a quarter of a second each time.
"""

import gc

gc.collect()
gc.freeze()
