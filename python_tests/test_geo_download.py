"""Downloads that break off, change, or are not what was promised."""

import gzip
import hashlib
import itertools

import numpy as np
import pytest

from sarcore.errors import DataError
from sarcore.geo.download import download
from sarcore.geo.http import ATTEMPTS, Connection, HTTPError
from sarcore.geo.providers import Checksum, RemoteFile

from .http_server import Answer, serving

BODY = np.random.default_rng(0).bytes(3_000_000)
MD5 = Checksum("md5", hashlib.md5(BODY).hexdigest())


def ranged(request, body=BODY, tag='"one"', cut=None):
    """What a server that knows ranges answers."""
    headers = {"ETag": tag} if tag else {}
    wanted = request.headers.get("range")
    if wanted and request.headers.get("if-range") == tag:
        first = int(wanted[len("bytes=") : -1])
        if first >= len(body):
            return Answer(status=416, headers={"Content-Range": f"bytes */{len(body)}"})
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        return Answer(body[first:], 206, headers, cut)
    return Answer(body, 200, headers, cut)


def fetch(url, folder, **promised):
    return download(Connection(wait=0), RemoteFile(url + "/a/scene.tif", "scene.tif", **promised), folder, wait=0)


def test_a_whole_file_and_nothing_twice(tmp_path):
    with serving(ranged) as server:
        seen = []
        file = RemoteFile(server.url + "/a/scene.tif", "scene.tif", len(BODY), MD5)
        path = download(Connection(), file, tmp_path / "new" / "folder", on_bytes=lambda *state: seen.append(state))
        assert path.read_bytes() == BODY
        assert seen[-1] == (len(BODY), len(BODY))
        assert [state[0] for state in seen] == sorted(state[0] for state in seen)
        assert fetch(server.url, path.parent, size=len(BODY), checksum=MD5) == path
        assert fetch(server.url, path.parent) == path
        assert len(server.requests) == 1
        assert [entry.name for entry in path.parent.iterdir()] == ["scene.tif"]
        path.write_bytes(BODY[:-1] + b"x")
        assert fetch(server.url, path.parent, checksum=MD5).read_bytes() == BODY


def test_what_broke_off_goes_on(tmp_path):
    cuts = iter([1_200_000, 700_000, None])
    with serving(lambda request: ranged(request, cut=next(cuts))) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY
    asked = [request.headers.get("range") for request in server.requests]
    assert asked[0] is None
    first, second = (int(text[6:-1]) for text in asked[1:])
    assert 0 < first <= 1_200_000
    assert first < second <= 1_900_000
    assert [entry.name for entry in tmp_path.iterdir()] == ["scene.tif"]


def test_another_process_goes_on(tmp_path):
    with serving(lambda request: ranged(request, cut=1_500_000 if "range" not in request.headers else 0)) as server:
        with pytest.raises(DataError, match=r"broke off after \d+ bytes .*; the same command goes on"):
            fetch(server.url, tmp_path)
        assert not (tmp_path / "scene.tif").exists()
    there = (tmp_path / "scene.tif.part").stat().st_size
    assert 0 < there <= 1_500_000
    with serving(ranged) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY
        assert server.requests[0].headers["range"] == f"bytes={there}-"


def test_another_file_at_the_address_begins_anew(tmp_path):
    other = BODY[::-1]
    half = serving(lambda request: ranged(request, cut=1_500_000 if "range" not in request.headers else 0))
    with half as server, pytest.raises(DataError, match="broke off"):
        fetch(server.url, tmp_path)
    with serving(lambda request: ranged(request, other, '"two"')) as server:
        assert fetch(server.url, tmp_path).read_bytes() == other


@pytest.mark.parametrize("tag", [None, 'W/"weak"'])
def test_a_server_that_cannot_say_which_file_it_is_begins_anew(tmp_path, tag):
    cuts = itertools.chain([1_200_000, 700_000], itertools.repeat(None))
    with serving(lambda request: ranged(request, tag=tag, cut=next(cuts))) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY
    assert all("range" not in request.headers for request in server.requests)


def test_a_download_that_was_complete_but_unnamed(tmp_path):
    (tmp_path / "scene.tif.part").write_bytes(BODY)
    (tmp_path / "scene.tif.part.json").write_text('{"validator": "\\"one\\""}')
    with serving(ranged) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY
        assert len(server.requests) == 1
    (tmp_path / "scene.tif").unlink()
    (tmp_path / "scene.tif.part").write_bytes(BODY + b"more than there is")
    (tmp_path / "scene.tif.part.json").write_text('{"validator": "\\"one\\""}')
    with serving(ranged) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY


def test_a_server_that_always_breaks_off_is_given_up(tmp_path):
    with serving(lambda request: ranged(request, tag=None, cut=1_000_000)) as server:
        with pytest.raises(DataError, match="broke off"):
            fetch(server.url, tmp_path)
        assert len(server.requests) <= 2 * ATTEMPTS


@pytest.mark.parametrize(
    ("promised", "says"),
    [
        ({"size": 5}, "was not kept: it has 3000000 bytes instead of 5"),
        ({"checksum": Checksum("md5", "0" * 32)}, f"was not kept: its md5 is {MD5.value}"),
        ({"checksum": Checksum("sha256", "0" * 64)}, "was not kept: its sha256 is"),
        ({"checksum": Checksum("crc7", "0")}, "checksum of an unknown kind, crc7"),
    ],
)
def test_broken_promises(tmp_path, promised, says):
    with serving(ranged) as server, pytest.raises(DataError, match=says):
        fetch(server.url, tmp_path, **promised)
    assert not (tmp_path / "scene.tif").exists()


@pytest.mark.parametrize(("status", "says"), [(401, "token"), (404, "does not exist"), (500, "answered 500")])
def test_refusals(tmp_path, status, says):
    with serving(lambda _: Answer(status=status)) as server, pytest.raises(HTTPError, match=says):
        fetch(server.url, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["../x.tif", "/etc/passwd", "..", "", "a\\b", "~root", "a\nb", "\x1b[31m"])
def test_names_that_leave_the_folder(tmp_path, name):
    with pytest.raises(DataError, match="is no plain name"):
        download(Connection(), RemoteFile("http://127.0.0.1/x", name), tmp_path)
    with pytest.raises(DataError, match="no address of a web server"):
        download(Connection(), RemoteFile("s3://bucket/x", "x"), tmp_path)


def test_packed_answers_begin_anew(tmp_path):
    """Their ranges are those of packed bytes, which are not the ones that lie here."""
    packed, cuts = gzip.compress(BODY), itertools.chain([2_000_000], itertools.repeat(None))

    def answer(request):
        found = ranged(request, packed, cut=next(cuts))
        found.headers["Content-Encoding"] = "gzip"
        return found

    with serving(answer) as server:
        assert fetch(server.url, tmp_path, checksum=MD5).read_bytes() == BODY
        assert ["range" in request.headers for request in server.requests] == [False, False]


@pytest.mark.parametrize("wrong", ["tag", "place"])
def test_a_part_that_does_not_fit_begins_anew(tmp_path, wrong):
    """A server may know ranges and not If-Range, or answer another range."""
    first = itertools.chain([True], itertools.repeat(False))

    def answer(request):
        if next(first):
            return Answer(bytes(len(BODY)), headers={"ETag": '"one"'}, cut=1_000_000)
        if "range" not in request.headers:
            return Answer(BODY, headers={"ETag": '"two"'})
        begin = int(request.headers["range"][len("bytes=") : -1]) if wrong == "tag" else 10
        headers = {"Content-Range": f"bytes {begin}-{len(BODY) - 1}/{len(BODY)}"}
        return Answer(BODY[begin:], 206, headers | {"ETag": '"two"' if wrong == "tag" else '"one"'})

    with serving(answer) as server:
        assert fetch(server.url, tmp_path).read_bytes() == BODY
        assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(status=204), "answered 204 and no file"),
        (Answer(b"<html>log in", headers={"Content-Type": "text/html; charset=utf-8"}), "a web page instead of scene"),
        (Answer(BODY, 206, {"Content-Range": "bytes 5-9/10"}), "another part than was asked for"),
    ],
)
def test_what_is_no_file(tmp_path, answer, says):
    with serving(lambda _: answer) as server, pytest.raises(DataError, match=says):
        fetch(server.url, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["crc99", "shake_128"])
def test_unknown_checksums_are_refused_before_anything_is_fetched(tmp_path, kind):
    with serving(ranged) as server:
        with pytest.raises(DataError, match=f"of an unknown kind, {kind}"):
            fetch(server.url, tmp_path, checksum=Checksum(kind, "00"))
        assert not server.requests
