"""The environment that child processes get: ours, with the settings of the stack laid over it."""

import os
from collections.abc import Mapping

from services.infra.process.settings import PREFIX


def child_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """This process's environment plus one LYNCEUS_ variable for every setting of docs/settings.md given."""
    return {**os.environ, **{PREFIX + name.upper(): str(value) for name, value in settings.items()}}
