"""Text that people type: one line each, shown as it was typed."""

from typing import Annotated

from pydantic import StringConstraints

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
"""Text without control characters, line breaks, and marks that show it in another order than it is kept."""

PersonName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=ONE_LINE)
]
"""A person's name; spaces around it are dropped."""

Remark = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=ONE_LINE)
]
"""What a person adds in their own words; spaces around it are dropped."""
