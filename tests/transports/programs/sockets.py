"""
Forks with a connection that is kept. Arguments: the url, which transport.
"""

from __future__ import annotations

import os
import sys

import paper

from mixwire.core import Project
from mixwire.transports import BufferedTransport, SyncTransport

_, url, kind = sys.argv
project = Project("T0", server=url)
transport = SyncTransport(project) if kind == "sync" else BufferedTransport(project, flush_after_seconds=0.01)
me = os.getpid()
transport.send(paper.event(f"{me}-0"))
transport.flush(5.0)
for number in range(10):
    child = os.fork()
    if not child:
        if number % 2:
            transport.send(paper.event(f"{os.getpid()}-0"))
            transport.flush(5.0)
            transport.send(paper.event(f"{os.getpid()}-1"))
            transport.flush(5.0)
        transport.close(5.0)
        os._exit(0)
    transport.send(paper.event(f"{me}-{number + 1}"))
    transport.flush(5.0)
    os.waitpid(child, 0)
transport.close()
print(me, transport.stats().delivered)
