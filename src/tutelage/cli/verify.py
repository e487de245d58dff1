"""tutelage verify: a certificate, computed again."""

from __future__ import annotations

from pathlib import Path

import click

from tutelage.cli.options import emit, json_option, plain, project_options
from tutelage.errors import CertificateError
from tutelage.project import Project
from tutelage.routing.certificate import FOLDER, read_certificate
from tutelage.routing.shown import certificate_text
from tutelage.routing.verifying import verified


@click.command("verify")
@click.argument("certificates", nargs=-1, type=click.Path(path_type=Path), metavar="[CERTIFICATE ...]")
@json_option
@project_options
def command(project: Project, certificates: tuple[Path, ...], as_json: bool) -> None:
    """Check certificates: the same models, the same examples, and the same proof when it is computed again.

    Without names all of certificates/ are checked. Nothing is asked of anybody: the stages' answers come from the store.

    \b
    Examples:
      tutelage verify
      tutelage verify certificates/cascade.json --json
    """
    paths = list(certificates) or sorted((project.folder / FOLDER).glob("*.json"))
    if not paths:
        raise CertificateError("There is no certificate. Make one with: tutelage calibrate")
    found = []
    for path in paths:
        certificate = read_certificate(path)
        checks = verified(project, certificate)
        found.append((path, certificate, checks))
    texts = [f"{certificate_text(one)}\n" + "\n".join(f"  ok: {check}" for check in checks) for _, one, checks in found]
    facts = [{"file": str(path), "status": one.status, "checks": checks} for path, one, checks in found]
    emit({"verified": plain(facts)}, as_json, "\n\n".join(texts))
