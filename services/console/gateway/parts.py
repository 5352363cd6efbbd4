"""Groups what every protocol of the gateway needs to serve calls."""

from __future__ import annotations

from dataclasses import dataclass

from services.console.gateway.callers import CallerCheck
from services.console.gateway.methods import MethodTable
from services.console.gateway.requests import GatewayLimits
from services.console.gateway.service_calls import ServiceCalls


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """The methods, how they are called, and who may call them."""

    methods: MethodTable
    calls: ServiceCalls
    limits: GatewayLimits
    callers: CallerCheck
