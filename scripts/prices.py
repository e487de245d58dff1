"""Writes src/tutelage/models/prices.toml from the tables of genai-prices (MIT), which a community keeps.

    pip install genai-prices==0.2.3 && python scripts/prices.py --date 2026-11-21

Where long prompts cost more, the price of short ones is taken; models without a price of text in and out, and
prices that hold only from a later day on, are left out.
"""

from __future__ import annotations

import argparse
import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from genai_prices import data, types

TABLE = Path(__file__).parents[1] / "src" / "tutelage" / "models" / "prices.toml"
VENDORS = ("anthropic", "aws", "azure", "cohere", "deepseek", "google", "groq", "mistral", "openai", "x-ai")
HEAD = """\
# Prices of hosted models in dollars per million tokens: input, output, cached_input.
# Written by scripts/prices.py; do not edit. [prices."MODEL"] in task.toml goes before what stands here.
# From genai-prices {version} (MIT, https://github.com/pydantic/genai-prices) as of {date}; `source` is each vendor's own page.
# Where long prompts cost more, this is the price of prompts of `up_to` tokens.

date = "{date}"
source = "genai-prices {version}"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--date", required=True, type=datetime.date.fromisoformat, help="The day the prices are as of.")
    day = parser.parse_args().date
    lines = [HEAD.format(version=version("genai-prices"), date=day)]
    for provider in sorted((one for one in data.providers if one.id in VENDORS), key=lambda one: one.id):
        lines.append(f'[vendors.{provider.id}]\nsource = "{(provider.pricing_urls or [""])[0]}"')
        rows: dict[str, str] = {}
        for model in provider.models:
            if row := _row(model, day):
                rows.update(dict.fromkeys(_names(model), row))
        lines += [f'models."{name}" = {row}' for name, row in sorted(rows.items())]
        lines.append("")
    TABLE.write_text("\n".join(lines), encoding="utf-8")


def _row(model: types.ModelInfo, day: datetime.date) -> str | None:
    noon = datetime.datetime.combine(day, datetime.time(12), datetime.UTC)
    prices = model.get_prices(noon)
    found = [_base(prices.input_mtok), _base(prices.output_mtok), _base(prices.cache_read_mtok)]
    if not found[0] or not found[1]:
        return None
    cached = "" if found[2] is None else f", cached_input = {found[2]:g}"
    long = [
        price.tiers[0].start
        for price in (prices.input_mtok, prices.output_mtok)
        if isinstance(price, types.TieredPrices)
    ]
    up_to = f", up_to = {min(long)}" if long else ""
    return f"{{ input = {found[0]:g}, output = {found[1]:g}{cached}{up_to} }}"


def _base(price: Any) -> float | None:
    base = price.base if isinstance(price, types.TieredPrices) else price
    return None if base is None else float(base)


def _names(model: types.ModelInfo) -> set[str]:
    """The names under which a vendor takes the model; what only contains a text is matched by nothing here."""
    clauses = getattr(model.match, "or_", [model.match])
    found = {model.id}
    for clause in clauses:
        for kind in ("equals", "starts_with"):
            if name := getattr(clause, kind, None):
                found.add(name.rstrip("-"))
    return found


if __name__ == "__main__":
    main()
