"""Who may do what: bearer tokens with roles, compared in constant time."""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from abtest.service.problems import Problem

Role = Literal["client", "operator", "admin"]
RANK: dict[Role, int] = {role: rank for rank, role in enumerate(get_args(Role))}
SHORTEST = 16
ANYBODY = "anybody"

_CHALLENGE = {"www-authenticate": "Bearer"}


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who asks: the token's name, for the audit, and its role."""

    name: str
    role: Role


Needs = Callable[[Role], Callable[..., Awaitable[Caller]]]
"""Gives FastAPI's dependency that admits a caller of a role."""


class Tokens:
    """The tokens that are valid. Without any, clients are let in and everything above a client is closed.

    Only digests are kept, and every one is compared each time, so that the time tells nothing about any of them.
    """

    def __init__(self, tokens: Iterable[tuple[str, Role, str]] = ()) -> None:
        self._known = [(hashlib.sha256(token.encode()).digest(), Caller(name=n, role=r)) for n, r, token in tokens]

    @classmethod
    def parse(cls, text: str) -> "Tokens":
        """Tokens as `name:role:token`, separated by commas or line ends; lines that begin with # are left out.

        >>> len(Tokens.parse("shop:client:0123456789abcdef, ada:admin:fedcba9876543210"))
        2
        """
        found: list[tuple[str, Role, str]] = []
        for number, part in enumerate(text.replace("\n", ",").split(","), start=1):
            entry = part.strip()
            if not entry or entry.startswith("#"):
                continue
            name, role, token = [*entry.split(":", 2), "", ""][:3]
            if role not in RANK or not name or len(token) < SHORTEST:
                raise ValueError(  # the entry itself is not told: it may hold a secret
                    f"token {number} must be name:role:token with a role of {', '.join(RANK)} and a token of at least "
                    f"{SHORTEST} characters; `openssl rand -hex 32` makes one"
                )
            found.append((name, role, token))
        return cls(found)

    def __len__(self) -> int:
        return len(self._known)

    def admit(self, presented: bytes, role: Role) -> Caller:
        """The caller, if the token that was presented (empty: none) is good enough for the role; else a Problem."""
        if not self._known:
            if role == "client":
                return Caller(name=ANYBODY, role="client")
            raise Problem(
                403, "closed", f"no tokens are set, so what needs the role {role} is closed",
                "set BAKEOFF_TOKENS or --tokens FILE (name:role:token) and start the service again",
            )  # fmt: skip
        if not presented:
            raise Problem(401, "no_token", "no token was sent", "send Authorization: Bearer TOKEN", _CHALLENGE)
        caller = self._find(presented)
        if caller is None:
            raise Problem(401, "bad_token", "the token is not known", "ask an admin for a valid one", _CHALLENGE)
        if RANK[caller.role] < RANK[role]:
            raise Problem(
                403, "role", f"{caller.name!r} has the role {caller.role}, this needs {role}", "use another token"
            )
        return caller

    def _find(self, presented: bytes) -> Caller | None:
        digest = hashlib.sha256(presented).digest()
        found = None
        for known, caller in self._known:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def bearer(authorization: bytes, api_key: bytes = b"") -> bytes:
    """The token in an Authorization header, or the X-API-Key header; empty for none."""
    return authorization[7:].strip() if authorization[:7].lower() == b"bearer " else api_key
