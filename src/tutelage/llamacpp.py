"""llama.cpp's own server on loopback over a local GGUF file, which ends with this process.

The server is a child process: OpenMP reads its settings once, when it is loaded, and a model that brings llama.cpp down
must not bring the caller down. `python -m tutelage.llamacpp '{"path": ..., "context": ..., "threads": ...}'` is that
child: it prints the address and serves until its standard input closes, which the end of the parent, however sudden, does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from tutelage import registry
from tutelage import settings as environment
from tutelage.errors import DataError, MissingPackage, ModelError

MAGIC = b"GGUF"
PACKAGE = "xllamacpp"


class Server:
    """A running llama.cpp server, for as many users as have joined and not left. `address` has no slash at its end."""

    _running: ClassVar[dict[tuple[Path, int, int], Server]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, path: Path, context: int, threads: int) -> None:
        self.users = 0
        self._key = path, context, threads
        self.process = _spawn({"path": str(path), "context": context, "threads": threads})
        self.address = (self.process.stdout.readline() if self.process.stdout else "").strip()
        if not self.address:
            code = self.process.wait()
            raise ModelError(
                f"llama.cpp cannot load {path} (exit status {code}). Check that the file is whole and that {context} tokens "
                "of context fit in memory.",
                fatal=True,
            )

    @classmethod
    def join(cls, path: Path, context: int, threads: int) -> Server:
        """The server of the file, started if need be. Raises ModelError when llama.cpp cannot load it, MissingPackage."""
        key = path.resolve(), context, threads
        with cls._lock:
            server = cls._running.get(key)
            if server is None or server.process.poll() is not None:
                server = cls._running[key] = cls(*key)
            server.users += 1
            return server

    def leave(self) -> None:
        """The last one stops it."""
        with self._lock:
            self.users -= 1
            if self.users:
                return
            if self._running.get(self._key) is self:
                del self._running[self._key]
        _stop(self.process)


def check_gguf(path: Path) -> None:
    """Raises DataError when the file is missing or no GGUF."""
    try:
        with path.open("rb") as file:
            found = file.read(len(MAGIC))
    except OSError as error:
        raise DataError(f"The model file {path} cannot be read: {error.strerror}. Check model = ...") from None
    if found != MAGIC:
        raise DataError(f"{path} is not a GGUF file: it starts with {found!r}. Check model = ...")


def serve(told: Mapping[str, Any]) -> None:
    """Serve a GGUF file on a free port of loopback, print the address, and go on until standard input closes."""
    params = registry.load("xllamacpp:CommonParams")()
    params.model.path = told["path"]
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.cache_prompt, params.cache_ram_mib = told["context"], 1, True, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = told["threads"]
    params.verbosity, params.ui = -1, False
    server = registry.load("xllamacpp:Server")(params)
    sys.stdout.write(server.listening_address + "\n")
    sys.stdout.flush()
    sys.stdin.read()


def _spawn(told: Mapping[str, Any]) -> subprocess.Popen[str]:
    if find_spec(PACKAGE) is None:
        raise MissingPackage(Path(told["path"]).name, PACKAGE, registry.EXTRAS[PACKAGE])
    # Spinning OpenMP threads starve every other process on a small machine; sleeping ones cost next to nothing.
    return subprocess.Popen(
        [sys.executable, "-m", __name__, json.dumps(told)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment.child(OMP_WAIT_POLICY="PASSIVE"),
        start_new_session=True,  # Ctrl-C is for the parent, which closes the pipe
    )


def _stop(server: subprocess.Popen[str]) -> None:
    for pipe in (server.stdin, server.stdout):
        if pipe:
            pipe.close()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
