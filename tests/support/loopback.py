"""A board server on this machine: behind a socket, or at the other end of a cable between two terminals."""

import os
import select
import threading
import time
from contextlib import contextmanager

from firmware_bridge.remote.links import Address
from firmware_bridge.remote.server import Server

ANYWHERE = Address.parse("tcp://127.0.0.1:0")


@contextmanager
def serving(bridge, address=ANYWHERE, **options):
    """A server in a thread."""
    done = threading.Event()
    with Server(bridge, address, **options) as server:
        thread = threading.Thread(target=server.serve, args=(done.is_set,))
        thread.start()
        try:
            yield server
        finally:
            done.set()
            thread.join()


@contextmanager
def cable():
    """Two terminals joined by a cable, as paths; and a function that pulls it."""
    ends = [os.openpty() for _ in range(2)]
    for master, slave in ends:
        os.set_blocking(master, False)
        os.set_blocking(slave, False)
    pulled = threading.Event()
    (a, _), (b, _) = ends

    def carry():
        while not pulled.is_set():
            for source in select.select([a, b], [], [], 0.02)[0]:
                data = os.read(source, 4096)
                while data and not pulled.is_set():
                    try:
                        data = data[os.write(b if source == a else a, data) :]
                    except BlockingIOError:
                        time.sleep(0.001)

    thread = threading.Thread(target=carry)
    thread.start()
    try:
        yield os.ttyname(ends[0][1]), os.ttyname(ends[1][1]), pulled.set
    finally:
        pulled.set()
        thread.join()
        for pair in ends:
            for fd in pair:
                os.close(fd)
