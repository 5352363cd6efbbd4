"""Asks the services of a running system whether they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp

#: Seconds for the response of a service.
TIMEOUT_S = 4.0


async def load_problems(
    operations_urls: Mapping[str, str], timeout_s: float = TIMEOUT_S
) -> dict[str, str]:
    """Return what is wrong with each service that is not ready, by its name.

    `operations_urls`: the internal HTTP endpoint of each service.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        found = await asyncio.gather(*(_problem(http, url) for url in operations_urls.values()))
    return {name: why for name, why in zip(operations_urls, found, strict=True) if why}


async def _problem(http: aiohttp.ClientSession, url: str) -> str:
    """Return why a service is not ready; empty where it is."""
    try:
        async with http.get(f"{url}/readyz") as response:
            if response.status == 200:
                return ""
            return _describe(await response.json())
    except TimeoutError:
        return "it does not answer: its process hangs, or the machine is overloaded"
    except (aiohttp.ClientError, ValueError):
        return "it does not answer: its process is down, and is started again"


def _describe(body: Any) -> str:
    checks = body.get("checks", {}) if isinstance(body, dict) else {}
    failed = [f"{name} ({state})" for name, state in checks.items() if state != "ok"]
    return f"it is not ready: {', '.join(failed) or 'it is starting'}"
