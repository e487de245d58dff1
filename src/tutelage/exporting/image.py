"""A folder with a Dockerfile and the wheel: `docker build` makes an image that serves the student."""

from __future__ import annotations

import sys

from tutelage.answering.alone.command import README
from tutelage.exporting.card import written
from tutelage.exporting.leaving import Files, Leaving, Target
from tutelage.exporting.wheel import make_wheel

PORT = 8000

_DOCKERFILE = """FROM python:{python}-slim
COPY {wheel} /tmp/
RUN pip install --no-cache-dir /tmp/{wheel} && rm /tmp/{wheel} && useradd --system student
USER student
EXPOSE {port}
HEALTHCHECK --interval=30s --timeout=5s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:{port}/health')"]
ENTRYPOINT ["{command}"]
CMD ["serve", "--host", "0.0.0.0", "--port", "{port}"]
"""
_USE = """```sh
docker build -t {tag} .
docker run --rm -p 127.0.0.1:{port}:{port} {tag}                  # http://127.0.0.1:{port}/v1
docker run --rm -i {tag} predict - < inputs.jsonl > answers.jsonl
```

`podman` takes the same commands."""


def _files(student: Leaving) -> Files:
    wheel = make_wheel(student)
    tag = student.package.replace("_", "-")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    text = _DOCKERFILE.format(python=python, wheel=wheel.file, port=PORT, command=student.command)
    return {
        wheel.file: wheel.content,
        "Dockerfile": text.encode(),
        ".dockerignore": f"*\n!{wheel.file}\n".encode(),
        README: written(student, wheel.requires, _USE.format(tag=tag, port=PORT)).encode(),
    }


TARGET = Target("a folder with a Dockerfile and the wheel", lambda _: True, "", _files)
