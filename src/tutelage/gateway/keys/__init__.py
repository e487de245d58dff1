"""Who may ask, how often, and for how much money: virtual keys, rates and budgets."""

from __future__ import annotations

from tutelage.gateway.keys.door import Admission, Door, open_door

__all__ = ["Admission", "Door", "open_door"]
