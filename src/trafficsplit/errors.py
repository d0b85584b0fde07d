"""What can be wrong with what a person gave.

InputError            one line that names the thing and the way out
"""

from __future__ import annotations


class InputError(ValueError):
    """Input that cannot be used. Its text is one line, made to be shown to a person as it is."""
