"""Files as they come from elsewhere: with code in them, and over a loopback server."""

import os
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import torch


class MakesFolder:
    """What a malicious file holds: unpickled in the ordinary way, it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def save_malicious(path, folder, state_dict=None):
    """A checkpoint that makes ``folder`` when it is unpickled."""
    torch.save(dict(state_dict=state_dict or {}, meta=dict(epoch=1, iter=1), extra=MakesFolder(folder)), path)
    return str(path)


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        self.server.asked.append(self.path)


@contextmanager
def served(folder, handler=_QuietHandler):
    """Serves a folder on a free port of 127.0.0.1; yields the address, and the list of what is asked for."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), partial(handler, directory=str(folder)))
    server.asked = []
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f'http://127.0.0.1:{server.server_port}', server.asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
