"""Obtains access tokens of OAuth 2.0 for service accounts, by a signed JWT (RFC 7523)."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from services.activation.channels.http import HttpAnswer, OutboundRequest
from services.activation.channels.provider import ProviderCall, TokenRefused, by_status, json_of
from services.activation.domain.transitions import AttemptResult, AttemptStatus

TOKEN_ENDPOINT = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
#: Seconds for which the JWT is valid.
_VALID_S = 3_600
#: What the answers of a token endpoint say of credentials that are not accepted.
_REFUSED = frozenset({"invalid_grant", "invalid_client", "unauthorized_client", "invalid_scope"})


def jwt_request(call: ProviderCall, scope: str) -> OutboundRequest:
    """Return the request of a token for a service account. Raises ValueError for a wrong key."""
    url = call.settings.token_endpoint or TOKEN_ENDPOINT
    now_s = int(call.now_s)
    claims = {
        "iss": call.settings.client_email,
        "scope": scope,
        "aud": url,
        "iat": now_s,
        "exp": now_s + _VALID_S,
    }
    assertion = signed_jwt(claims, call.secrets["private_key"])
    form = urlencode({"grant_type": _GRANT, "assertion": assertion}).encode()
    return OutboundRequest(url, form, {"content-type": "application/x-www-form-urlencoded"})


def signed_jwt(claims: dict[str, Any], pem: str, **head: str) -> str:
    """Return a JWT that is signed as RS256, or as ES256 with a key of P-256.

    `head`: more of its header. Raises ValueError where the key is neither.
    """
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    is_rsa = isinstance(key, rsa.RSAPrivateKey)
    header = {"alg": "RS256" if is_rsa else "ES256", "typ": "JWT", **head}
    signed = f"{_encoded(msgspec.json.encode(header))}.{_encoded(msgspec.json.encode(claims))}"
    if isinstance(key, rsa.RSAPrivateKey):
        signature = key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        pair = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in pair)
    else:
        raise ValueError("the key is neither an RSA key nor one of P-256")
    return f"{signed}.{_encoded(signature)}"


def read_oauth_token(answer: HttpAnswer, _: float) -> tuple[str, float]:
    """Return the token of an answer, and the seconds for which it is valid. Raises TokenRefused."""
    body = json_of(answer)
    match body:
        case {"access_token": str(token), "expires_in": int(valid_s)} if answer.status == 200:
            return token, float(valid_s)
        case {"error": str(error)} if error in _REFUSED:
            raise TokenRefused(AttemptResult(AttemptStatus.CREDENTIALS, error))
    raise TokenRefused(without_loss(by_status(answer)))


def without_loss(result: AttemptResult) -> AttemptResult:
    """Return the result of a request before the message, which itself cannot be lost by it."""
    if result.status is AttemptStatus.LOST:
        return AttemptResult(AttemptStatus.FAILED, result.reason, result.retry_after)
    return result


def is_unauthorized(answer: HttpAnswer) -> bool:
    """Return whether an answer says that the token is not valid any more."""
    return answer.status == 401


def sha256_of(*parts: str) -> str:
    """Return the digest of some texts, one after the other, in hexadecimal digits."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def _encoded(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()
