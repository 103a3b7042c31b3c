"""What a page of the dashboard says, as tests read it."""

from __future__ import annotations

import re

import numpy as np
from playwright.sync_api import Page, expect


def shows(page: Page, selector: str, text: str | re.Pattern[str]) -> None:
    """Wait until an element says just that."""
    expect(page.locator(selector)).to_have_text(text)


def numbers(page: Page, table: str) -> np.ndarray:
    """A table as numbers, without its first column."""
    cells = page.locator(f"{table} tbody tr").evaluate_all(
        "rows => rows.map(r => [...r.querySelectorAll('td')].map(c => c.textContent.replace('−', '-')))"
    )
    return np.array(cells, float)


def pairs(page: Page, selector: str) -> dict[str, str]:
    """A list of names and values, units in the values."""
    return page.locator(selector).evaluate(
        "list => Object.fromEntries([...list.querySelectorAll('dt')].map(dt => "
        "[dt.textContent, dt.nextElementSibling.textContent]))"
    )


def as_table(page: Page, selector: str) -> None:
    """Open what shows values as a table."""
    page.click(f"{selector} summary")
    page.wait_for_selector(f"{selector} tbody tr")
