"""The merged view: rule by rule, and against what a real engine makes of the same layers."""

import tarfile

import pytest
from hypothesis import HealthCheck, Phase, given, settings, strategies as st

from deadweight._errors import ArchiveError
from deadweight_images.archive import entries as columns
from deadweight_images.archive.entries import Entries
from deadweight_images.archive.model import shown
from deadweight_images.layers.indexing import Indexer
from deadweight_images.layers.merge import IMPLIED, Merged
from tests.support import image_samples as samples
from tests.support.codes import raises
from tests.support.processes import within


def merged(*layers: bytes) -> Merged:
    return Merged(list(map(samples.walked, layers)))


def seen(view: Merged) -> dict[str, int]:
    """Paths that are seen, with the layer each is of (-1 for folders that no layer holds)."""
    return {path.decode(): value if value == IMPLIED else value >> 32 for path, value in view.view.items()}


def hidden(view: Merged) -> list[tuple[str, int, int, str]]:
    return [(view.layers[h.layer].paths[h.member].decode(), h.layer, h.by, h.how) for h in view.hidings()]


L = samples.honest_layer


OPAQUE = {"a": None, "a/old": b"o", "a/sub": None, "a/sub/x": b"x"}
STACKS: dict[str, tuple[list[dict[str, bytes | str | None]], dict[str, int], list[tuple[str, int, int, str]]]] = {
    "a whiteout removes one file": (
        [{"etc": None, "etc/secret.txt": b"s", "etc/other": b"o"}, {"etc/.wh.secret.txt": b""}],
        {"etc": 0, "etc/other": 0}, [("etc/secret.txt", 0, 1, "removed")],
    ),
    "a whiteout removes a folder with all below": (
        [{"a": None, "a/b": None, "a/b/c": b"1", "ab": b"2"}, {".wh.a": b""}], {"ab": 0}, [("a/b/c", 0, 1, "removed")],
    ),
    "a whiteout spares its own layer": ([{"a": b"old"}, {".wh.a": b"", "a": b"new"}], {"a": 1}, [("a", 0, 1, "removed")]),
    "a whiteout at the end does so too": ([{"a": b"old"}, {"a": b"new", ".wh.a": b""}], {"a": 1}, [("a", 0, 1, "removed")]),
    "an opaque folder hides lower content only": (
        [OPAQUE, {"a": None, "a/.wh..wh..opq": b"", "a/new": b"n"}],
        {"a": 1, "a/new": 1}, [("a/old", 0, 1, "removed"), ("a/sub/x", 0, 1, "removed")],
    ),
    "a mark at the end does so too": (
        [OPAQUE, {"a": None, "a/new": b"n", "a/.wh..wh..opq": b""}],
        {"a": 1, "a/new": 1}, [("a/old", 0, 1, "removed"), ("a/sub/x", 0, 1, "removed")],
    ),
    "an opaque root hides everything below": (
        [{"a": b"1", "b/c": b"2"}, {".wh..wh..opq": b"", "d": b"3"}],
        {"d": 1}, [("a", 0, 1, "removed"), ("b/c", 0, 1, "removed")],
    ),
    "replacing hides the older version": (
        [{"a": b"1"}, {"a": b"2"}, {"a": "b"}], {"a": 2}, [("a", 0, 1, "replaced"), ("a", 1, 2, "replaced")],
    ),
    "a file in place of a folder makes its content unreachable": (
        [{"a": None, "a/b": b"1", "a/c": None, "a/c/d": b"2"}, {"a": b"file"}],
        {"a": 1}, [("a/b", 0, 1, "unreachable"), ("a/c/d", 0, 1, "unreachable")],
    ),
    "a folder in place of a file or a link": (
        [{"a": b"1", "l": "/etc"}, {"a": None, "a/b": b"2", "l/x": b"3"}],
        {"a": 1, "a/b": 1, "l": IMPLIED, "l/x": 1}, [("a", 0, 1, "replaced"), ("l", 0, 1, "replaced")],
    ),
    "a member behind a link of its own layer lands where the link leads": (
        [{"real": None, "link": "real", "link/x": b"1"}], {"real": 0, "link": 0, "real/x": 0}, [],
    ),
    "old union filesystem records are no files": ([{".wh..wh.plnk": None, ".wh..wh.aufs": b"", "a": b"1"}], {"a": 0}, []),
}  # fmt: skip


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_of_layers(stack):
    layers, visible, gone = STACKS[stack]
    view = merged(*map(L, layers))
    assert (seen(view), sorted(hidden(view))) == (visible, gone)


def test_a_folder_that_overlayfs_marked_hides_lower_content_too():
    """The engine unpacks the mark, and the kernel obeys it: the files are gone in a container."""
    mark = samples.pax(**{"SCHILY.xattr.trusted.overlay.opaque": "y"})
    upper = samples.layer(mark + samples.header(b"d/", kind=b"5", mode=0o755), samples.file(b"d/new", b"2"))
    view = merged(L({"d": None, "d/old": b"1", "e": None, "e/kept": b"1"}), upper)
    again = Merged([Entries.load(entries.dump()) for entries in view.layers])
    assert seen(again) == seen(view) == {"d": 1, "d/new": 1, "e": 0, "e/kept": 0}
    assert hidden(view) == [("d/old", 0, 1, "removed")]


def test_links_cannot_lead_out_of_the_image():
    view = merged(L({"up": "../../../..", "abs": "/etc", "etc": None, "etc/passwd": b"x", "up/y": b"1"}))
    assert [view.resolve(path) for path in (b"abs/passwd", b"up/etc/passwd")] == [b"etc/passwd"] * 2
    assert "y" in seen(view)


def test_links_in_circles_end():
    view = merged(L({"a": "b", "b": "a", "c": "c/d", "h1": "=h2", "h2": "=h1"}))
    assert (view.resolve(b"a/x"), view.resolve(b"c"), view.content(view.view[b"h1"])) == (None, None, None)
    with raises(ArchiveError, "archive.link_loop", what="layer 1", name="/b"):
        merged(L({"a": "b", "b": "a", "a/x": b"1"}))


@pytest.mark.parametrize("name", [b".wh.", b".wh..", b".wh...", b"a/.wh.."])
def test_a_whiteout_of_nothing_is_refused(name):
    with raises(ArchiveError, "layer.whiteout_nameless", what="layer 1", name=shown(name)):
        merged(samples.layer(samples.file(name)))


@pytest.mark.parametrize("name", [b".", b"/.", b"./", b"a/..", b"/"])
@pytest.mark.parametrize("kind", [b"2", b"1", b"3"])
def test_the_root_of_the_image_stays_a_folder(name, kind):
    """CVE-2021-29136: with a link in its place every later member lands where that leads."""
    root = samples.header(name, kind=kind, link=b"/etc")
    with raises(ArchiveError, "layer.root_replaced", what="layer 2"):
        merged(L({"a": b"1"}), samples.layer(root, samples.file(b"b")))
    assert seen(merged(L({"a": b"1"}), samples.layer(samples.header(name, kind=b"5")))) == {"a": 0}


def test_many_removed_folders_take_one_pass():
    lower = samples.layer(*(samples.file(b"d%d/f" % n) for n in range(20_000)))
    upper = samples.layer(*(samples.file(b".wh.d%d" % n) for n in range(20_000)))
    with within(5, processor=True):
        view = merged(lower, upper)
        assert (seen(view), len(hidden(view))) == ({}, 20_000)


# --- against the engine ---------------------------------------------------------------------------------------------------

paths = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map("/".join)
things = st.one_of(st.just(None), st.binary(min_size=1, max_size=9), st.sampled_from(["a", "/b/c", "../c", "=hard"]))


@st.composite
def stacks(draw):
    """Layer stacks that an engine can have written: every member's parents are folders of the same layer, whiteouts name
    what lower layers hold, a whiteout and a folder of one name do not meet in one layer."""
    layers, below = [], {}
    for _number in range(draw(st.integers(1, 4))):
        wanted = draw(st.dictionaries(paths, things, max_size=7))
        own: dict[str, bytes | str | None] = {}
        for path in sorted(wanted):
            parents = _parents(path)
            if all(own.get(parent) is None for parent in parents):
                own |= {**dict.fromkeys(parents), path: wanted[path]}
        files = [path for path, content in own.items() if isinstance(content, bytes)]
        own = {path: _link(content, path, files) for path, content in own.items()}
        marks = {}
        gone = draw(st.lists(st.sampled_from(sorted(below)), max_size=3, unique=True)) if below else []
        for path in [path for path in gone if not any(path.startswith(other + "/") for other in gone)]:
            parent, _, name = path.rpartition("/")
            if path not in own and all(own.get(p) is None for p in _parents(path)):
                marks[f"{parent}/.wh.{name}".lstrip("/")] = b""
                own |= {folder: own.get(folder) for folder in _parents(path)}
        for path in [p for p, content in own.items() if content is None and draw(st.integers(0, 5)) == 0]:
            marks[f"{path}/.wh..wh..opq"] = b""
        order = sorted(own, key=lambda path: (isinstance(own[path], str) and own[path].startswith("="), path))
        layers.append({**{path: own[path] for path in order}, **marks})
        below = {**below, **own}
    return layers


@st.composite
def images(draw):
    """The layers of an image with several stacks side by side, for the engine takes a second for each image. A layer has one
    owner and one mode for all files and one for all folders: which of a hard link's modes counts is the engine's own business."""
    layers = []
    worlds = draw(st.lists(stacks(), min_size=1, max_size=6))
    for number in range(max(map(len, worlds))):
        members: dict[str, bytes | str | None] = {"keep": b"k"} if number == 0 else {}
        for name, world in enumerate(worlds):
            if number < len(world):
                members[f"w{name}"] = None
                members |= {f"w{name}/{path}": _moved(content, name) for path, content in world[number].items()}
        modes = draw(st.sampled_from([0o644, 0o600, 0o4755])), draw(st.sampled_from([0o755, 0o700, 0o1777]))
        layers.append((members, modes, draw(st.sampled_from([0, 65532]))))
    return layers


def _moved(content, world):
    """The same with links that lead from the root leading from that stack's folder."""
    if isinstance(content, str) and content.startswith(("/", "=")):
        return f"{content[0]}w{world}/{content.lstrip('=/')}" if content[0] == "=" else f"/w{world}{content}"
    return content


def _link(content, path, files):
    if content != "=hard":
        return content
    others = [file for file in files if file != path]
    return "=" + others[0] if others else b"x"


def _parents(path):
    return [path.rsplit("/", n)[0] for n in range(path.count("/"), 0, -1)]


EXTRA = ("dev", "etc", "proc", "sys", ".dockerenv")  # what the engine itself puts into every container


def exported(engine_tar) -> dict[str, tuple[str, object]]:
    tree: dict[str, tuple[str, object]] = {}
    with tarfile.open(engine_tar) as tar:
        for info in tar:
            name, owned = info.name.rstrip("/"), (info.mode & 0o7777, info.uid, info.gid)
            if info.issym():
                tree[name] = ("link", info.linkname)
            else:
                tree[name] = ("folder", owned) if info.isdir() else ("file", (tar.extractfile(info).read(), *owned))
    return {name: entry for name, entry in tree.items() if name.split("/")[0] not in EXTRA}


def ours(made: samples.Made) -> dict[str, tuple[str, object]]:
    view = merged(*made.layers)
    tree: dict[str, tuple[str, object]] = {}
    for path, value in view.view.items():
        kind = view.kind(value)
        where = value if kind in (columns.DIRECTORY, columns.SYMLINK) else view.content(value)
        entry = None if value == IMPLIED else view.layers[where >> 32].entry(where & 0xFFFFFFFF)
        owned = (entry.mode, entry.uid, entry.gid) if entry else (0o755, 0, 0)
        if kind == columns.DIRECTORY:
            tree[path.decode()] = ("folder", owned)
        elif kind == columns.SYMLINK:
            tree[path.decode()] = ("link", entry.target.decode())
        else:
            data = made.layers[where >> 32][entry.offset : entry.offset + entry.size_bytes]
            tree[path.decode()] = ("file", (data, *owned))
    return tree


@pytest.mark.slow
@pytest.mark.engine
@settings(max_examples=12, derandomize=True, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(layers=images())
def test_the_view_is_what_the_engine_exports(engine, tmp_path, layers):
    made = samples.build(*(L(members, all_modes=modes, owner=owner) for members, modes, owner in layers))
    name, out = "deadweight-tests/stack:1", tmp_path / "export.tar"
    engine.images.load(samples.docker_save(tmp_path / "x.tar", made, tag=name))
    container = engine.api.create_container(name, ["/x"], labels={"deadweight-tests": "stack"})["Id"]
    try:
        out.write_bytes(b"".join(engine.api.export(container)))
    finally:
        engine.api.remove_container(container, force=True)
        engine.images.remove(name, force=True)
    assert exported(out) == ours(made)


@pytest.mark.parametrize("mark", [{".wh..wh..opq": b""}, {"./.wh..wh..opq": b""}])
def test_an_opaque_root_is_what_the_specification_or_the_kernel_makes_of_it(mark):
    view = merged(L({"bin": None, "bin/sh": b"1", "etc/a": b"2"}), L({**mark, "etc/b": b"3"}))
    assert (set(seen(view)), view.marks_root) == ({"etc", "etc/b"}, [1])
    kernel = Merged(view.layers, root_marks=False)
    assert seen(kernel).keys() == {"bin", "bin/sh", "etc", "etc/a", "etc/b"}
    assert (hidden(kernel), kernel.marks_root) == ([], [1])


def test_an_opaque_root_of_the_first_layer_hides_nothing_and_is_no_matter():
    assert merged(L({".wh..wh..opq": b"", "a": b"1"})).marks_root == []


TARGETS = ("l/file", "/l/file", "l2/file", "./l/../real/file", "real/../l/file", "../../real/file", "up/real/file")


def test_a_hard_link_through_links_and_dots_of_its_layer_leads_to_its_file():
    tree = {"real": None, "real/file": b"12345", "l": "real", "l2": "/real", "x": None, "up": "x/.."}
    view = merged(L(tree | {f"h{number}": f"={target}" for number, target in enumerate(TARGETS)}))
    links = [view.content(view.view[b"h%d" % number]) for number in range(len(TARGETS))]
    assert links == [view.view[b"real/file"]] * len(TARGETS)


def test_hard_links_in_circles_and_to_nothing_lead_nowhere():
    view = merged(L({"a": "=b", "b": "=a", "c": "=c", "d": "=l/x", "l": "l", "e": "=nothing", "f": "=a"}))
    links = [b"a", b"b", b"c", b"d", b"e", b"f"]
    assert {view.content(view.view[name]) for name in links} == {None}
    assert [view.layers[0].paths[member] for member in view.loose(0)] == links


@pytest.mark.slow
def test_a_chain_of_hard_links_is_followed_once():
    count = 30_000
    chain = {"l0": b"12345"} | {f"l{number}": f"=l{number - 1}" for number in range(1, count)}
    view = merged(L(dict(reversed(chain.items()))))
    with within(2, processor=True):
        assert {view.content(view.view[f"l{number}".encode()]) for number in range(count)} == {view.view[b"l0"]}


def test_layers_share_what_memory_has_room_for(monkeypatch):
    """Each of a hundred layers may hold a million names: what counts is all of them, and the view that they make."""
    monkeypatch.setattr(columns, "ROOM", 200_000)
    many = memoryview(samples.layer(*(samples.file(b"a%04d" % number) for number in range(900))))
    with Indexer(verify=False) as indexer, raises(ArchiveError, "tar.memory", what="layer 3"):
        for number in range(1, 4):
            indexer.blob(many, "none", f"layer {number}")


def test_the_view_of_distinct_names_takes_room_too(monkeypatch):
    monkeypatch.setattr(columns, "ROOM", 2_500_000)
    merged(samples.layer(*(samples.file(b"a") for _number in range(18_000))))
    with raises(ArchiveError, "tar.memory", what="layer 1"):
        merged(samples.layer(*(samples.file(b"a%05d" % number) for number in range(18_000))))


def doubling(count: int) -> list[bytes]:
    """Links of which each is the last one twice: to follow the n-th takes 2 ** n steps."""
    targets = [b".", *(b"l%d/l%d" % (number, number) for number in range(count))]
    return [samples.header(b"l%d" % number, kind=b"2", link=target) for number, target in enumerate(targets)]


@pytest.mark.slow
def test_links_that_double_the_work_are_refused():
    with within(30, processor=True), raises(ArchiveError, "layer.too_many_steps", what="layer 1"):
        merged(samples.layer(*doubling(35), samples.file(b"l35/x", b"1")))


def test_a_few_such_links_are_followed():
    view = merged(samples.layer(*doubling(8), samples.file(b"l8/x", b"1")))
    assert b"x" in view.view
    assert (view.resolve(b"l8/x"), view.resolve(b"l4/x")) == (None, b"x"), "eight are more than a kernel would follow"


@pytest.mark.slow
def test_asking_for_long_links_again_and_again_ends():
    target = b"/".join([b"a/.."] * 2000) + b"/nowhere"
    link = samples.header(b"L", len(target), b"K") + samples.padded(target) + samples.header(b"l", kind=b"2")
    view = merged(samples.layer(samples.header(b"a/", kind=b"5"), link))
    with raises(ArchiveError, "layer.too_many_steps"):
        list(map(view.resolve, [b"l"] * 100_000))


def test_a_name_of_thousands_of_parts_makes_no_folder_of_each():
    name = b"a/" * 30_000 + b"x"
    with raises(ArchiveError, "layer.too_many_steps"):
        merged(samples.layer(samples.header(b"l", len(name), b"L") + samples.padded(name) + samples.file(b"x")))
