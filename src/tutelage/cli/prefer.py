"""tutelage prefer: people compare answers of candidates."""

from __future__ import annotations

import click

from tutelage.cli.options import emit, json_option, project_options
from tutelage.evaluation.estimates import Estimate
from tutelage.project import Project
from tutelage.review.annotators import check_review
from tutelage.review.preference_summary import PreferenceSummary, summary
from tutelage.review.preferring import Preferring
from tutelage.types import SPLITS, Split
from tutelage.web.app import make_app
from tutelage.web.preference_pages import address, routes
from tutelage.web.serving import serve_pages

PORT = 8101


@click.command("prefer")
@click.argument("names", nargs=-1, required=True, metavar="A B [C ...]")
@click.option("--rank", "ranked", is_flag=True, help="Score the answers of all candidates, 1 to 7, instead of two.")
@click.option("--split", type=click.Choice(SPLITS), default="dev", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Of the page; 0 takes a free one."
)
@click.option("--no-browser", is_flag=True, help="Print the address, open no browser.")
@click.option("--status", is_flag=True, help="Say what was compared so far, and open no page.")
@json_option
@project_options
def command(
    project: Project,
    names: tuple[str, ...],
    ranked: bool,
    split: Split,
    port: int,
    no_browser: bool,
    status: bool,
    as_json: bool,
) -> None:
    """Let people compare the stored answers of candidates, without saying whose they are.

    Opens a page on this machine alone. Two answers stand side by side, or with --rank those of 2 to 9 candidates get a score
    each; whose stands where is shuffled for each example and each person. Equal answers are not asked about. Every comparison
    is stored at once, with who and when. Ctrl-C ends the page and says what was compared.

    \b
    Examples:
      tutelage evaluate small large --split dev --unlabelled && tutelage prefer small large
      tutelage prefer small large teacher --rank --no-browser --port 8200
      tutelage prefer small large --status
    """
    check_review(project)
    desk = Preferring(project, names, split, "ranking" if ranked else "pair")
    if not status:
        app = make_app(project, routes(desk), {"Rank" if ranked else "Compare": address(desk)})
        serve_pages(app, port, lambda url: emit({"url": url}, as_json, _begin(desk, url)), not no_browser)
    found = summary(desk)
    emit(found, as_json, describe(found))


def _begin(desk: Preferring, url: str) -> str:
    return f"{len(desk.ids)} of {desk.answered} examples of {desk.split} to compare at {url}\nCtrl-C ends."


def describe(found: PreferenceSummary) -> str:
    """The summary as lines for people."""
    free = found.answered - found.asked
    lines = [
        f"{found.comparisons} comparisons of {', '.join(found.candidates)} on {found.split}: {found.asked} examples to compare"
        + (f", {free} more with equal or failed answers" if free else "")
    ]
    if found.annotators:
        lines.append("by " + ", ".join(f"{name} {count}" for name, count in found.annotators.items()))
    for one in found.rivals:
        lines.append(
            f"{one.a} against {one.b}: wins {one.wins}, ties {one.ties}, losses {one.losses}; win rate {_shown(one.win_rate)}, "
            f"ties count half, n {one.n}"
        )
    if found.alike:
        alpha = f"; Krippendorff's alpha {_shown(found.alike.alpha)}" if found.alike.alpha else ""
        lines.append(f"two annotators say the same: {_shown(found.alike.share)}{alpha}, n {found.alike.n}")
    return "\n".join(lines)


def _shown(value: Estimate) -> str:
    return f"{value.value:.3f} ({value.low:.2f} to {value.high:.2f})"
