"""docker-compose.yml as tests read it, without Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE_FILE = ROOT / "docker-compose.yml"


def read_compose(**variables: str) -> dict[str, Any]:
    """The file with its variables filled in, as Compose does it."""
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda match: variables.get(match[1], match[2]), COMPOSE_FILE.read_text())
    return yaml.safe_load(text.replace("$$", "$"))


def ray_options(service: dict[str, Any]) -> dict[str, str]:
    """What `ray start` gets in a service, by the option's name."""
    words = " ".join([*service.get("entrypoint", []), *service["command"]])
    assert "ray start" in words
    return dict(re.findall(r"--([a-z-]+)=(\S+)", words))
