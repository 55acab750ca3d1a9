"""Build the layers report from layer indices: merged view, hidden files, secrets, packages."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from deadweight_images.archive import entries as columns
from deadweight_images.archive.model import Image, shown
from deadweight_images.contents.exposure import Survey, Tally, content_bytes, folders
from deadweight_images.contents.facts import RPM_DATABASES, duplicates
from deadweight_images.contents.packages import owners, packages
from deadweight_images.errors import wording
from deadweight_images.findings import (
    MAX_FINDINGS,
    MINE,
    HiddenFile,
    LayerFigures,
    LayersReport,
    PathFigure,
    Scanned,
    SecretFinding,
    SecretMark,
    SkippedItem,
)
from deadweight_images.layers.index import LayerIndex, Secret, packed
from deadweight_images.layers.merge import Hiding, Merged

if TYPE_CHECKING:
    from deadweight_images.secrets.scanner import Scanner

_T = TypeVar("_T")
MAX_HIDDEN = 5000
ON_OVERLAYFS = "an engine on overlayfs shows it: the opaque mark that hides it stands in the image's root"


class Assembly:
    """All that the report is made of. ``image`` is as ``with_shown_instructions`` has it, where secrets are looked for.

    ``content`` gives the bytes of a plain layer by its position, or None.
    """

    def __init__(
        self, image: Image, indices: Sequence[LayerIndex], content: Callable[[int], memoryview | None]
    ) -> None:
        self.image, self.indices, self._content = image, indices, content
        # Before the merge: what this needs for a moment and what the merge keeps would not fit into memory together.
        self._weights = [content_bytes(index.entries) for index in indices]
        layers = [index.entries for index in indices]
        self.merged = Merged(layers)
        held = len(self.merged.view)
        self._on_overlayfs = Merged(layers, root_marks=False, beside=held) if self.merged.marks_root else None
        self._extra: list[SkippedItem] = []
        self._owners: list[dict[int, str]] = []

    def report(
        self,
        scanner: Scanner | None,
        scanned: Scanned,
        gzip_sizes: Sequence[int | None],
        settle: Callable[[], None] = lambda: None,
    ) -> LayersReport:
        """The report. ``gzip_sizes`` are known compressed sizes of plain layers.

        ``settle`` is called before digests and secrets are needed: until then other threads may still work on them.
        """
        survey = self._survey(self.merged)
        notes = self._add_shown(survey)
        heaviest, by_folder = survey.heaviest(), folders(self.indices)
        installed = packages(self.merged, self.indices)
        duplicated, copies = duplicates(self.indices, self._content)
        settle()
        self._owners = [
            owners(index, {item.member for item in index.secrets} | {item.member for item in index.skipped})
            for index in self.indices
        ]
        hidden, hidden_bytes, overwritten, per_layer = self._hidden()
        secrets, layers = self._secrets(scanner, scanned), self._layers(per_layer, gzip_sizes)
        report = LayersReport(
            config_digest=self.image.config_digest, manifest_digest=self.image.manifest_digest, scanned=scanned,
            rule_set=scanner.rule_set if scanner is not None else None, user=self.image.config.user,
            size_bytes=sum(layer.size_bytes for layer in layers), compressed_bytes=_compressed_bytes(layers),
            files=survey.files, hidden_files=self.merged.hidden_count, hidden_bytes=hidden_bytes,
            overwritten_bytes=overwritten, duplicated_bytes=duplicated, layers=layers, hidden=hidden, secrets=secrets,
            setuid=self._listed(survey.setuid, "set-uid files"), shells=self._listed(survey.shells, "shells"),
            package_managers=self._listed(survey.managers, "package managers"), packages=installed, heaviest=heaviest,
            folders=by_folder, skipped=(*self._skipped(), *self._extra), notes=notes, duplicates=copies,
        )  # fmt: skip
        if scanner is None:
            return report
        from deadweight_images.secrets.config import withheld

        return withheld(report, scanner)

    def _secrets(self, scanner: Scanner | None, scanned: Scanned) -> tuple[SecretFinding, ...]:
        """Those that are still seen, and those of the config."""
        # A layer that is known from a deeper look brings secrets along that nobody asked for here.
        visible = [] if scanned == "hidden" else self._visible_secrets()
        secrets = [*visible, *(self._config_secrets(scanner) if scanner is not None else ())]
        return tuple(self._cut(secrets, "secrets"))

    def _survey(self, merged: Merged) -> Survey:
        return Survey(merged, self.indices, [layer.diff_id for layer in self.image.layers])

    def _add_shown(self, survey: Survey) -> tuple[str, ...]:
        """Take what an engine shows against the specification into the survey; answers what is to be said of it."""
        if self._on_overlayfs is None:
            return ()
        survey.add_shown(self._survey(self._on_overlayfs), ON_OVERLAYFS)
        more = self.merged.hidden_count - self._on_overlayfs.hidden_count
        numbers = ", ".join(str(number + 1) for number in self.merged.marks_root)
        return (wording("layer.opaque_root", layers=numbers, files=max(0, more)),)

    def _layers(self, hidden: Sequence[int], gzip_sizes: Sequence[int | None]) -> tuple[LayerFigures, ...]:
        figures = []
        for layer, index in zip(self.image.layers, self.indices, strict=True):
            size, files = self._weights[layer.index]
            plain = layer.compression == "none"
            weight = gzip_sizes[layer.index] if plain else layer.stored_bytes
            figures.append(
                LayerFigures(
                    digest=layer.digest or index.digest,
                    diff_id=layer.diff_id,
                    size_bytes=size,
                    tar_bytes=index.tar_bytes,
                    compressed_bytes=weight,
                    compressed_how="not_measured" if weight is None else "gzip-6" if plain else "stored",
                    instruction=layer.instruction,
                    media_type=layer.media_type,
                    files=files,
                    hidden_bytes=hidden[layer.index],
                    verified=index.diff_id == layer.diff_id,
                )
            )
        return tuple(figures)

    def _hidden(self) -> tuple[tuple[HiddenFile, ...], int, int, list[int]]:
        """The hidden files (those with secrets first, then the heaviest), their bytes, the replaced ones', and per layer."""
        seen = self._linked_contents()
        per_layer = [0] * len(self.indices)
        replaced = 0
        for hiding in self.merged.hidings():
            entries = self.indices[hiding.layer].entries
            if entries.kinds[hiding.member] == columns.FILE and packed(hiding.layer, hiding.member) not in seen:
                per_layer[hiding.layer] += entries.stored(hiding.member)
                replaced += entries.stored(hiding.member) if hiding.how == "replaced" else 0
        secrets = self._secrets_by_member()
        chosen = heapq.nlargest(MAX_HIDDEN, self.merged.hidings(), key=lambda item: self._weight(item, secrets))
        if self.merged.hidden_count > MAX_HIDDEN:
            self._cut_note("hidden files", self.merged.hidden_count - MAX_HIDDEN)
        return tuple(self._hidden_file(item, secrets) for item in chosen), sum(per_layer), replaced, per_layer

    def _weight(self, hiding: Hiding, secrets: dict[tuple[int, int], list[Secret]]) -> tuple[bool, int, int, int]:
        size = self.indices[hiding.layer].entries.sizes[hiding.member]
        return (hiding.layer, hiding.member) in secrets, size, -hiding.layer, -hiding.member

    def _hidden_file(self, hiding: Hiding, secrets: dict[tuple[int, int], list[Secret]]) -> HiddenFile:
        entries, layers = self.indices[hiding.layer].entries, self.image.layers
        return HiddenFile(
            path=shown(entries.paths[hiding.member]),
            size_bytes=entries.sizes[hiding.member],
            layer=layers[hiding.layer].diff_id,
            added_by=layers[hiding.layer].instruction,
            hidden_in=layers[hiding.by].diff_id,
            hidden_by=layers[hiding.by].instruction,
            how=hiding.how,
            index=hiding.layer,
            hidden_index=hiding.by,
            secrets=tuple(
                SecretMark(f.rule, f.fingerprint, f.description, f.redacted, f.inner, f.line, confidence=f.confidence)
                for f in secrets.get((hiding.layer, hiding.member), ())
            ),
            owner=self._owners[hiding.layer].get(hiding.member, MINE),
        )

    def _secrets_by_member(self) -> dict[tuple[int, int], list[Secret]]:
        secrets: dict[tuple[int, int], list[Secret]] = {}
        for layer, index in enumerate(self.indices):
            for item in index.secrets:
                secrets.setdefault((layer, item.member), []).append(item)
        return secrets

    def _linked_contents(self) -> set[int]:
        """Contents that the final view still leads to through a hard link, though the path of the file itself is gone. A layer's
        links are followed only if a file of it is gone: there may be a million."""
        merged, seen = self.merged, set()
        for layer in {hiding.layer for hiding in merged.hidings()}:
            index = self.indices[layer]
            for member in index.entries.targets:
                if index.entries.kinds[member] == columns.HARDLINK:
                    value = packed(layer, member)
                    if merged.view.get(index.entries.paths[member]) == value:
                        content = merged.content(value)
                        if content is not None:
                            seen.add(content)
        return seen

    def _visible_secrets(self) -> list[SecretFinding]:
        places = self._secrets_by_member()
        hidden = {(h.layer, h.member) for h in self.merged.hidings() if (h.layer, h.member) in places}
        secrets = []
        for layer, index in enumerate(self.indices):
            for item in index.secrets:
                if (layer, item.member) in hidden:
                    continue
                path = shown(index.entries.paths[item.member]) if item.member >= 0 else None
                secrets.append(
                    SecretFinding(
                        rule=item.rule,
                        fingerprint=item.fingerprint,
                        where="file" if path is not None else "layer",
                        path=path,
                        layer=self.image.layers[layer].diff_id,
                        added_by=self.image.layers[layer].instruction,
                        description=item.description,
                        redacted=item.redacted,
                        inner=item.inner,
                        line=item.line,
                        owner=self._owners[layer].get(item.member, MINE),
                        confidence=item.confidence,
                    )
                )
        return secrets

    def _config_secrets(self, scanner: Scanner) -> list[SecretFinding]:
        from deadweight_images.secrets.config import config_secrets

        secrets, skipped = config_secrets(self.image, scanner)
        self._extra.extend(skipped)
        return secrets

    def _skipped(self) -> list[SkippedItem]:
        skipped = []
        for layer, index in enumerate(self.indices):
            diff_id = self.image.layers[layer].diff_id
            for skip in index.skipped:
                path = shown(index.entries.paths[skip.member]) if skip.member >= 0 else None
                owner = self._owners[layer].get(skip.member, MINE)
                skipped.append(SkippedItem(path, diff_id, skip.inner, skip.reason, skip.size_bytes, skip.unread, owner))
            if index.unlisted:
                reason = wording("skip.unlisted_secrets", count=index.unlisted)
                self._extra.append(SkippedItem(None, diff_id, "", reason, 0, unread=True))
        for database in RPM_DATABASES:
            if database in self.merged.view:
                skipped.append(SkippedItem(shown(database), None, "", wording("skip.rpm"), 0))
        for layer, index in enumerate(self.indices):
            for member in self.merged.loose(layer):
                reason, path = wording("skip.loose_link"), shown(index.entries.paths[member])
                skipped.append(SkippedItem(path, self.image.layers[layer].diff_id, "", reason, 0))
        return list(self._cut(skipped, "skipped items"))

    def _listed(self, tally: Tally, what: str) -> tuple[PathFigure, ...]:
        if tally.count > len(tally.listed):
            self._cut_note(what, tally.count - len(tally.listed))
        return tuple(tally.listed)

    def _cut(self, items: Sequence[_T], what: str) -> Sequence[_T]:
        if len(items) > MAX_FINDINGS:
            self._cut_note(what, len(items) - MAX_FINDINGS)
        return items[:MAX_FINDINGS]

    def _cut_note(self, what: str, count: int) -> None:
        self._extra.append(SkippedItem(None, None, "", wording("skip.unlisted", count=count, what=what), 0))


def _compressed_bytes(layers: Sequence[LayerFigures]) -> int | None:
    """Of all layers together; None where that of one is not known."""
    weights = [layer.compressed_bytes for layer in layers]
    known = [weight for weight in weights if weight is not None]
    return sum(known) if len(known) == len(weights) else None
