"""What is held of answers: what variants that behave alike have in common."""

from __future__ import annotations

from deadweight.project.init.recording import held


def test_what_a_build_or_a_base_puts_in_is_not_held():
    answer = {
        "status": "ok",
        "version": "6.1",
        "X-Api-Revision": [""],
        "runtime": {"go": "go1.26"},
        "checks": [{"name": "db", "uptime_seconds": 3, "up": True}],
        "pages": 3,
    }
    assert held(answer) == {"status": "ok", "checks": [{"name": "db", "up": True}], "pages": 3}
    assert held("version") == "version"
