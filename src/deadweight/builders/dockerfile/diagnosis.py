"""What is said of some causes, for whoever reacts to them."""

from __future__ import annotations

from deadweight.builders.shared.diagnosis import message_of

LOCK = message_of("lock_mismatch")
UNCOMPILED = message_of("npm_module_not_compiled")
PEERS = message_of("peer_conflict")
OLD_HASHES = message_of("old_hash")
