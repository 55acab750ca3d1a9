"""The benchmark of SBOMs: what two documents have in common is told by one normal form of addresses."""

from typing import Any

from bench import sbom


def document(*entries: str | tuple[str, str]) -> dict[str, Any]:
    """Addresses, or names with versions of what has none."""
    components = [{"type": "operating-system", "name": "debian"}, {"type": "file", "name": "/etc/passwd"}]
    for entry in entries:
        named = {"purl": entry} if isinstance(entry, str) else {"name": entry[0], "version": entry[1]}
        components.append({"type": "library", "name": "x", **named})
    return {"bomFormat": "CycloneDX", "components": components}


def test_one_package_is_one_however_its_address_is_written():
    app, bash = ("app", "1"), "pkg:deb/debian/bash"
    ours = document(f"{bash}@5.2?epoch=1", "pkg:pypi/typing-extensions@4", app, "pkg:npm/%40x/y@1")
    theirs = document(f"{bash}@1%3A5.2?arch=x", "pkg:pypi/typing_extensions@4", app, "pkg:npm/@x/y@1")
    compared = sbom.compared("v", ours, theirs)
    assert (compared.ours, compared.syft, compared.ratio) == (4, 4, 1.0)
    assert (compared.only_ours, compared.only_syft, compared.twice) == ((), (), ())
    assert compared.types["deb"] == (1, 1)


def test_what_one_lacks_and_what_is_listed_twice_is_told():
    ours = document("pkg:npm/a@1", "pkg:npm/a@1", "pkg:npm/c@1")
    theirs = document("pkg:npm/a@1", "pkg:npm/a@1", "pkg:npm/b@2", "pkg:npm/d@2", "pkg:generic/node@22")
    theirs["components"][-1] |= {"properties": [{"name": sbom.FOUND_BY, "value": "binary-classifier-cataloger"}]}
    compared = sbom.compared("v", ours, theirs)
    assert (compared.ours, compared.syft, compared.ratio, compared.twice) == (2, 3, 1.5, ("npm a 1",))
    assert (compared.only_ours, compared.only_syft) == (("npm c 1",), ("npm b 2", "npm d 2"))
    assert compared.by_bytes == ("generic node 22",)


def test_without_the_other_tool_nothing_is_measured(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert sbom.main([str(tmp_path)]) == 3
    assert "not measured: syft is not on PATH" in capsys.readouterr().err
