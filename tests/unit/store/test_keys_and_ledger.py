"""Keys, the ledger and usage in SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from tutelage.errors import UnknownName, UsageError
from tutelage.store import Key, Limits, Store, Trace, ledger, open_store
from tutelage.store.keys import hashed
from tutelage.store.ledger import Want, charge
from tutelage.types import Usage


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


LIMITS = Limits(requests_per_minute=10, tokens_per_minute=1000, budget_day=5 * 10**9, budget_month=2**40)


def test_a_key_comes_back_as_it_was_and_its_secret_does_not(store: Store) -> None:
    expires = "2030-01-01T00:00:00+00:00"
    asked = Key(id="", name="ci", team="t", scopes=("a/*", "gpt"), limits=LIMITS, expires=expires)
    secret = store.keys.add(asked)
    store.keys.set_team("t", Limits(budget_month=7))
    (key,) = store.keys.list()
    assert (key.name, key.team, key.scopes, key.limits, key.expires) == ("ci", "t", ("a/*", "gpt"), LIMITS, expires)
    assert len(key.id) == 16 and key.team_limits == Limits(budget_month=7)
    assert store.keys.find("ci") == store.keys.find(key.id) == key
    assert store.keys.by_hash() == {hashed(secret): key}
    with store.database.read() as connection:
        everything = [str(row) for row in connection.execute(text("SELECT * FROM keys"))]
    assert secret not in "".join(everything) and secret[12:] not in "".join(everything)


def test_names_are_unique_among_the_keys_that_live(store: Store) -> None:
    store.keys.add(Key(id="", name="ci"))
    with pytest.raises(UsageError, match="a key 'ci' already"):
        store.keys.add(Key(id="", name="ci"))
    first = store.keys.revoke("ci")
    store.keys.add(Key(id="", name="ci"))
    assert store.keys.find("ci").id != first.id
    assert store.keys.find(first.id).revoked == first.revoked is not None
    with pytest.raises(UnknownName, match="Known: ci"):
        store.keys.find("cj")
    with pytest.raises(UsageError, match="revoked"):
        store.keys.rotate(first.id)
    for name in ("", " ", "x" * 81):
        with pytest.raises(UsageError, match="1 to 80"):
            store.keys.add(Key(id="", name=name))


def test_a_rotated_key_is_the_same_key(store: Store) -> None:
    old = store.keys.add(Key(id="", name="ci"))
    new = store.keys.rotate("ci", timedelta(hours=1))
    found = store.keys.by_hash()
    assert found[hashed(new)].expires is None and found[hashed(old)].expires is not None
    assert found[hashed(new)].id == found[hashed(old)].id
    newest = store.keys.rotate("ci")
    assert set(store.keys.by_hash()) == {hashed(newest)}


def test_every_change_is_a_new_revision(store: Store) -> None:
    seen = [store.keys.revision()]
    changes = (
        lambda: store.keys.add(Key(id="", name="ci", team="t")),
        lambda: store.keys.rotate("ci"),
        lambda: store.keys.set_team("t", Limits(budget_day=1)),
        lambda: store.keys.set_team("t", Limits()),
        lambda: store.keys.revoke("ci"),
    )
    for change in changes:
        change()
        seen.append(store.keys.revision())
    assert seen == sorted(set(seen))


def want(account: str = "a", limit: int = 1000, need: int = 10, least: int | None = None, debt: int = 0) -> Want:
    return Want(account=account, limit=limit, need=need, least=need if least is None else least, debt=debt)


def test_a_lease_is_the_need_or_a_tenth_of_what_is_left(store: Store) -> None:
    (grant,) = store.ledger.lease([want(need=10)], "one")
    assert (grant.granted, grant.total, grant.fresh, grant.spent, grant.leased) == (100, 100, True, 0, 100)
    (grant,) = store.ledger.lease([want(need=300)], "two")
    assert (grant.granted, grant.leased) == (300, 400)
    (grant,) = store.ledger.lease([want(need=10)], "one")
    assert (grant.granted, grant.total, grant.fresh) == (60, 160, False)
    (grant,) = store.ledger.lease([want(need=900, least=5)], "one")
    assert grant.granted == 540  # the rest
    (grant,) = store.ledger.lease([want(need=5)], "two")
    assert (grant.granted, grant.leased) == (0, 1000)


def test_charges_move_from_the_lease_to_spent(store: Store) -> None:
    store.ledger.lease([want(need=100)], "one")
    with store.database.write() as connection:
        charge(connection, "a", "one", 30)
        charge(connection, "a", "nobody", 5)
    assert store.ledger.usage(["a", "b"]) == {"a": (35, 70), "b": (0, 0)}
    store.ledger.give_back({"a": 20}, "one")
    assert store.ledger.usage(["a"]) == {"a": (35, 50)}
    assert store.ledger.renew(["a", "b"], "one") == {"a": 80}
    store.ledger.release("one")
    assert store.ledger.usage(["a"]) == {"a": (35, 0)}
    assert store.ledger.renew(["a"], "one") == {}


def test_a_debt_is_counted_even_beyond_the_limit(store: Store) -> None:
    store.ledger.lease([want(limit=100, need=100)], "one")
    with store.database.write() as connection:
        charge(connection, "a", "one", 150)
    assert store.ledger.usage(["a"]) == {"a": (150, 0)}
    (grant,) = store.ledger.lease([want(limit=100, need=1, debt=50)], "one")
    assert (grant.granted, grant.total) == (50, 150)
    assert store.ledger.usage(["a"]) == {"a": (150, 0)}


def test_traces_are_charged_once_however_often_they_come(store: Store) -> None:
    store.ledger.lease([want(need=100), want(account="b", need=100)], "one")
    trace = Trace(id="1" * 32, created="2026-11-21", model="m", accounts=("a", "b"), nanodollars=40, owner="one")
    for _ in range(3):
        store.traces.add([trace])
    assert store.ledger.usage(["a", "b"]) == {"a": (40, 60), "b": (40, 60)}


def test_a_dead_owners_lease_is_free_again_in_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "LEASE_SECONDS", -1)
    store.ledger.lease([want(need=1000)], "dead")
    monkeypatch.setattr(ledger, "LEASE_SECONDS", 60)
    assert store.ledger.renew(["a"], "dead") == {}
    (grant,) = store.ledger.lease([want(need=1000)], "alive")
    assert (grant.granted, grant.leased) == (1000, 1000)


def test_owners_that_lease_at_once_never_get_more_than_there_is(database_url: str) -> None:
    stores = [open_store(database_url) for _ in range(4)]

    def take(at: int) -> int:
        grants = [stores[at].ledger.lease([want(need=7)], f"owner {at}")[0].granted for _ in range(20)]
        return sum(grants)

    with ThreadPoolExecutor(4) as threads:
        granted = sum(threads.map(take, range(4)))
    assert granted <= 1000 and stores[0].ledger.usage(["a"]) == {"a": (0, granted)}
    assert granted > 1000 - 7
    for store in stores:
        store.close()


def test_charges_and_leases_at_once_lose_nothing(database_url: str) -> None:
    """Every reader sees spent + leased within the limit, in the middle of charges too."""
    limit = 10_000

    def spend(owner: str) -> int:
        store, spent = open_store(database_url), 0
        while granted := store.ledger.lease([want("a", limit, 50), want("b", limit, 50)], owner)[0].granted:
            with store.database.write() as connection:
                for account in ("a", "b"):
                    charge(connection, account, owner, granted)
            spent += granted
        store.close()
        return spent

    store = open_store(database_url)
    with ThreadPoolExecutor(3) as threads:
        done = [threads.submit(spend, f"owner {n}") for n in range(3)]
        while not all(one.done() for one in done):
            assert sum(store.ledger.usage(["a"])["a"]) <= limit
    spent = sum(one.result() for one in done)
    assert limit - 50 < spent <= limit
    assert store.ledger.usage(["a", "b"]) == {"a": (spent, 0), "b": (spent, 0)}
    store.close()


def test_usage_is_added_up_by_key_model_and_task(store: Store) -> None:
    def trace(n: int, model: str, key: str | None, nanodollars: int | None, status: int = 200) -> Trace:
        return Trace(
            id=f"{n:032x}",
            created=f"2026-11-{n:02d}T00:00:00+00:00",
            model=model,
            key=key,
            status=status,
            usage=Usage(10, 2),
            nanodollars=nanodollars,
        )

    rows = [trace(1, "m", "k1", 5), trace(2, "m", "k2", 2**40), trace(3, "n", "k1", None), trace(4, "m", None, 0, 500)]
    store.traces.add(rows)
    found = [(one.name, one.requests, one.failed, one.unpriced, one.nanodollars) for one in store.usage.read("key")]
    assert found == [("k2", 1, 0, 0, 2**40), ("k1", 2, 0, 1, 5), (None, 1, 1, 0, 0)]
    (row,) = store.usage.read("model", since="2026-11-03", keys=["k1"])
    assert (row.name, row.requests, row.input_tokens, row.output_tokens) == ("n", 1, 10, 2)
    assert [one.name for one in store.usage.read("task")] == [None]
    assert store.usage.read("key", keys=["none"]) == []
