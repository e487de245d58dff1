"""tutelage keys: virtual keys of the gateway, their teams, limits and budgets, and what they spent."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from tutelage.cli.options import InOrder, emit, json_option, store_options
from tutelage.errors import UnknownName
from tutelage.gateway.keys.budgets import NANO, Budget, budgets, dollars, resets
from tutelage.store import Key, Limits, Store
from tutelage.store.usage import Group, Spent

NONE = -1
"""A limit that is to be taken away."""


class Moment(click.ParamType[str]):
    """A date (UTC, its beginning), a time, or a span: 30d, 12h, 2w; counted from now, `sign` says in which direction."""

    name = "when"

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        span = re.fullmatch(r"(\d{1,5})([hdw])", value)
        if span:
            unit = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}[span[2]]
            return (datetime.now(UTC) + self._sign * int(span[1]) * unit).isoformat()
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time. Write 30d, 12h, 2w or 2026-12-31.", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


class Money(click.ParamType[int]):
    """Dollars, kept as nanodollars; "none" takes the budget away."""

    name = "dollars"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "none":
            return NONE
        try:
            amount = float(value)
        except ValueError:
            amount = math.nan
        if not 0 <= amount <= 1e9:
            self.fail(f"{value!r} is no amount of dollars. Write 5, 0.50 or none.", param, ctx)
        return round(amount * NANO)


def budget_options(function: Callable[..., None]) -> Callable[..., None]:
    day = click.option("--budget-day", type=Money(), help="Dollars a day, UTC.")
    month = click.option("--budget-month", type=Money(), help="Dollars a month, UTC.")
    return day(month(function))


@click.group("keys", cls=InOrder)
def command() -> None:
    """Virtual keys of the gateway: who may use which models, how often, and for how much money.

    With [server] access = "keys" in gateway.toml only requests with a key are answered. A change reaches a running gateway
    within 5 seconds. Where a NAME is asked for, a key's id does as well.

    \b
    Examples:
      tutelage keys create ci --models "characters/*" --budget-day 2
      tutelage keys list --json
      tutelage keys usage ci --by model --since 7d
      tutelage keys rotate ci --grace 24h
    """


@command.command("create")
@click.argument("name")
@click.option("--team", metavar="NAME", help="Team whose budgets it shares; made where there is none of the name.")
@click.option("--models", multiple=True, metavar="PATTERN", help="Models it may use, e.g. characters/* (default: all).")
@budget_options
@click.option("--requests-per-minute", type=click.IntRange(1), help="Requests in 60 seconds at most.")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Tokens, read and written, in 60 seconds at most.")
@click.option("--expires", type=Moment(1), help="When it ends: 30d, 12h, 2w or a date (default: never).")
@json_option
@store_options
def create(
    store: Store,
    name: str,
    team: str | None,
    models: tuple[str, ...],
    budget_day: int | None,
    budget_month: int | None,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    expires: str | None,
    as_json: bool,
) -> None:
    """Make a key and print its secret, which is shown this once and kept nowhere.

    \b
    Examples:
      tutelage keys create ci
      tutelage keys create ada --team research --models gpt --models "characters/*" --budget-month 50 --expires 90d
    """
    limits = Limits(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        budget_day=_changed(None, budget_day),
        budget_month=_changed(None, budget_month),
    )
    asked = Key(id="", name=name, team=team, scopes=models, limits=limits, expires=expires)
    secret = store.keys.add(asked)
    key = store.keys.find(name)
    emit(_shown(key) | {"secret": secret}, as_json, _secret_text(f"The key {name!r} ({key.id})", secret))


@command.command("list")
@json_option
@store_options
def list_(store: Store, as_json: bool) -> None:
    """List the keys with their limits, and the teams with their budgets. No secrets: there are none.

    \b
    Examples:
      tutelage keys list --json
    """
    keys, teams = store.keys.list(), store.keys.teams()
    lines = [_line(key) for key in keys] or ["No keys. Make one: tutelage keys create NAME"]
    lines += [f"team {name}  {_limits_text(limits) or 'no budget'}" for name, limits in teams.items()]
    found = {"keys": [_shown(key) for key in keys], "teams": {name: _limits(one) for name, one in teams.items()}}
    emit(found, as_json, "\n".join(lines))


@command.command("rotate")
@click.argument("name")
@click.option(
    "--grace", type=Moment(1), help="Until when the old secret works too: 24h or a date (default: not at all)."
)
@json_option
@store_options
def rotate(store: Store, name: str, grace: str | None, as_json: bool) -> None:
    """Give a key a new secret; its id, limits and what it spent stay.

    \b
    Examples:
      tutelage keys rotate ci
      tutelage keys rotate ci --grace 24h
    """
    until = datetime.fromisoformat(grace) - datetime.now(UTC) if grace else timedelta(0)
    secret = store.keys.rotate(name, max(until, timedelta(0)))
    old = f"The old one works until {grace[:19]}Z." if grace else "The old one is refused within 5 seconds."
    text = _secret_text(f"The key {name!r} has a new secret", secret) + f"\n{old}"
    emit(_shown(store.keys.find(name)) | {"secret": secret, "old_until": grace}, as_json, text)


@command.command("revoke")
@click.argument("name")
@json_option
@store_options
def revoke(store: Store, name: str, as_json: bool) -> None:
    """Refuse a key from now on. Its name is free again, what it spent stays.

    \b
    Examples:
      tutelage keys revoke ci
    """
    key = store.keys.revoke(name)
    emit(_shown(key), as_json, f"The key {key.name!r} ({key.id}) is revoked; it is refused within 5 seconds.")


@command.command("usage")
@click.argument("name", required=False)
@click.option("--by", type=click.Choice(["key", "model", "task"]), default="key", help="One row a key, model or task.")
@click.option("--since", type=Moment(-1), help="Of what time on: 7d, 12h, 2w or a date (default: all there is).")
@json_option
@store_options
def usage(store: Store, name: str | None, by: Group, since: str | None, as_json: bool) -> None:
    """What keys asked and spent, from the traces that are kept, and what is left of their budgets.

    Traces come to the database within a second or so after the answer; a budget's "set aside" is what running gateways have
    leased for the requests to come.

    \b
    Examples:
      tutelage keys usage
      tutelage keys usage ci --by model --since 7d --json
    """
    keys = [store.keys.find(name)] if name is not None else store.keys.list()
    rows = store.usage.read(by, since, [keys[0].id] if name is not None else None)
    names = {key.id: key.name for key in keys}
    found = [
        asdict(row) | {"name": names.get(row.name or "", row.name), "dollars": row.nanodollars / NANO} for row in rows
    ]
    standing = _standing(store, [key for key in keys if key.revoked is None])
    lines = [_usage_text(row, str(one["name"] or f"(no {by})")) for row, one in zip(rows, found, strict=True)]
    lines += [str(budget.pop("text")) for budget in standing]
    emit({"usage": found, "budgets": standing}, as_json, "\n".join(lines) or "Nothing was asked.")


@command.command("team")
@click.argument("name")
@budget_options
@json_option
@store_options
def team(store: Store, name: str, budget_day: int | None, budget_month: int | None, as_json: bool) -> None:
    """Set the budgets that all keys of a team share; without options only show them. "none" takes one away.

    What its keys have spent in the day and month under way counts.

    \b
    Examples:
      tutelage keys team research --budget-month 200
      tutelage keys team research --budget-day none
    """
    teams = store.keys.teams()
    limits = teams.get(name, Limits())
    if budget_day is not None or budget_month is not None:
        day, month = _changed(limits.budget_day, budget_day), _changed(limits.budget_month, budget_month)
        limits = Limits(budget_day=day, budget_month=month)
        store.keys.set_team(name, limits)
    elif name not in teams:
        raise UnknownName("team", name, teams)
    emit({"team": name} | _limits(limits), as_json, f"team {name}  {_limits_text(limits) or 'no budget'}")


def _changed(now: int | None, given: int | None) -> int | None:
    return now if given is None else None if given == NONE else given


def _secret_text(what: str, secret: str) -> str:
    return f"{what}. Its secret is shown this once and kept nowhere:\n{secret}"


def _limits(limits: Limits) -> dict[str, Any]:
    """As JSON shows them: budgets in dollars."""
    found = asdict(limits)
    for name in ("budget_day", "budget_month"):
        found[name] = None if found[name] is None else found[name] / NANO
    return found


def _shown(key: Key) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": key.id, "name": key.name, "team": key.team, "models": list(key.scopes)}
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return shown | _limits(key.limits) | times


def _limits_text(limits: Limits) -> str:
    parts: Mapping[str, int | None] = {
        "requests/min": limits.requests_per_minute,
        "tokens/min": limits.tokens_per_minute,
    }
    shown = [f"{value:,} {what}" for what, value in parts.items() if value is not None]
    for what, money in (("day", limits.budget_day), ("month", limits.budget_month)):
        shown += [f"${money / NANO:,.2f}/{what}"] if money is not None else []
    return ", ".join(shown)


def _line(key: Key) -> str:
    state = f"revoked {key.revoked[:10]}" if key.revoked else f"expires {key.expires[:10]}" if key.expires else ""
    if key.revoked is None and key.expires and datetime.fromisoformat(key.expires) <= datetime.now(UTC):
        state = f"expired {key.expires[:10]}"
    parts = (
        f"{key.id}  {key.name}",
        f"team {key.team}" if key.team else "",
        ", ".join(key.scopes) or "all models",
        _limits_text(key.limits),
        state,
    )
    return "  ".join(part for part in parts if part)


def _usage_text(row: Spent, name: str) -> str:
    more = f", {row.failed:,} failed" if row.failed else ""
    more += f", {row.unpriced:,} at an unknown price" if row.unpriced else ""
    tokens = f"{row.input_tokens:,} tokens read, {row.output_tokens:,} written"
    return f"{name}  {dollars(row.nanodollars)}  {row.requests:,} requests, {tokens}{more}"


def _standing(store: Store, keys: list[Key]) -> list[dict[str, Any]]:
    """Each budget of the period under way: its limit, what is spent, and what is set aside."""
    day = int(time.time()) // 86400
    found: dict[str, Budget] = {one.account: one for key in keys for one in budgets(key, day) if one.limit is not None}
    standing = []
    for account, (spent, leased) in store.ledger.usage(list(found)).items():
        budget = found[account]
        limit, until = budget.limit or 0, f"{resets(account):%Y-%m-%dT%H:%M:%SZ}"
        text = f"budget of {dollars(limit)} {budget.what}: {dollars(spent)} spent, {dollars(leased)} set aside, until {until}"
        amounts = {"dollars": limit / NANO, "spent": spent / NANO, "set_aside": leased / NANO}
        standing.append({"budget": budget.what, "text": text, "resets": until} | amounts)
    return standing
