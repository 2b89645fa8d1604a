"""What edges tell each other about who may do what."""

from contracts.base import Wire


class IdentityChanged(Wire):
    """Forget what you remember of this user ('' : of none), and refuse this session ('' : none)
    and the API key of this hash ('' : none) from now on. Broadcast at most once: who misses it
    finds out within seconds by reading."""

    user_id: str = ""
    session_id: str = ""
    key_hash: str = ""


class LoginTried(Wire):
    """Somebody tries a password at `edge` (one life of it); `right`: it was right, and nothing is
    held against the account any more. `account` and `address` are digests: edges only compare
    them. Broadcast at most once: who misses it counts one try less."""

    edge: str
    account: str
    address: str
    right: bool = False
