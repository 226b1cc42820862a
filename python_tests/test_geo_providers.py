"""Tellus and STAC against a server that gives recorded answers."""

import hashlib
import json

import pytest

from sarcore.cli import main
from sarcore.errors import DataError
from sarcore.geo.grid import Bounds
from sarcore.geo.providers import Checksum, Item, RemoteFile, covers, day, span
from sarcore.geo.stac import Stac, checksum_of
from sarcore.geo.tellus import Tellus

from .http_server import Answer, serving

POINT = (139.8107, 35.7101)
CONFORMS = ["core", "item-search", "ogcapi-features"]
CONFORMS = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]


def answered(data):
    return Answer(json.dumps(data).encode(), headers={"Content-Type": "application/json"})


class Recorded:
    """The answers of Tellus as the document's programs read them."""

    def __init__(self):
        self.url = ""
        self.scenes = [
            self.scene("ALOS2237752900-181018", [139.5, 35.5, 140.2, 36.1], "2018-10-18T02:45:00Z"),
            self.scene("ALOS2-elsewhere", [130.0, 35.5, 131.0, 36.1], "2018-10-19T02:45:00Z"),
            self.scene("ALOS2-later", [139.5, 35.5, 140.2, 36.1], "2019-01-01T02:45:00Z"),
        ]

    def scene(self, name, bbox, time):
        return {"dataset_id": name, "bbox": bbox, "publish_link": f"/publish/{name}", "observation_datetime": time}

    def __call__(self, request):
        if request.headers.get("authorization") != "Bearer sesame":
            return Answer(status=401)
        if request.path == "/api/v1/origin/search/palsar2-l21":
            scenes = [scene | {"publish_link": self.url + scene["publish_link"]} for scene in self.scenes]
            return answered({"count": len(scenes), "items": scenes})
        if request.path.startswith("/publish/"):
            name = request.path.split("/")[-1]
            files = [{"file_name": f"IMG-HH-{name}.tif", "url": f"{self.url}/files/{name}.tif", "file_size": 5}]
            return answered({"files": files})
        if request.path.startswith("/files/"):
            return Answer(b"bytes", headers={"ETag": '"1"'})
        if request.path == "/api/v1/asnaro1/scene":
            scene = {"entityId": "20181224060959386_AS1", "clat": 35.7, "clon": 139.8}
            box = {"min_lon": 139.7, "min_lat": 35.6, "max_lon": 139.9, "max_lat": 35.8}
            return answered([scene | box])
        return Answer(status=404)


@pytest.fixture
def server(monkeypatch):
    recorded = Recorded()
    with serving(recorded) as found:
        recorded.url = found.url
        found.recorded = recorded
        yield found


def tellus(server, **options):
    return Tellus(files_url=server.url, maps_url=server.url, token="sesame", wait=0, **options)


def test_the_question_is_that_of_the_document(server):
    found = tellus(server).search(POINT)
    request = server.requests[0]
    assert request.path == "/api/v1/origin/search/palsar2-l21"
    lon, lat = map(str, POINT)
    assert request.query == {
        "page_size": "1000", "mode": "SM1", "left_bottom_lat": lat, "left_bottom_lon": lon,
        "right_top_lat": lat, "right_top_lon": lon,
    }  # fmt: skip
    assert [item.id for item in found] == ["ALOS2237752900-181018", "ALOS2-later"]
    assert found[0].bounds == Bounds(139.5, 35.5, 140.2, 36.1)
    tellus(server, mode=None).search(Bounds.of(139, 35, 140, 36))
    assert "mode" not in server.requests[1].query
    assert server.requests[1].query["right_top_lon"] == "140"


def test_times_and_the_limit(server):
    source = tellus(server)
    assert [item.id for item in source.search(POINT, end="2018-10-18")] == ["ALOS2237752900-181018"]
    assert [item.id for item in source.search(POINT, start="2018-10-19")] == ["ALOS2-later"]
    assert len(source.search(POINT, limit=1)) == 1
    for scene in server.recorded.scenes:
        del scene["observation_datetime"]
    with pytest.raises(DataError, match="says no time of its own"):
        source.search(POINT, start="2018-10-19")
    with pytest.raises(ValueError, match="'yesterday' is no date"):
        source.search(POINT, start="yesterday")


def test_files_and_tiles(server):
    source = tellus(server)
    files = source.files(source.search(POINT)[0])
    name = "ALOS2237752900-181018"
    assert files == [RemoteFile(f"{server.url}/files/{name}.tif", f"IMG-HH-{name}.tif", 5)]
    found = source.search(POINT, collection="asnaro1")
    lon, lat = map(str, POINT)
    assert server.requests[-1].query == {"min_lat": lat, "min_lon": lon, "max_lat": lat, "max_lon": lon}
    assert found[0].tiles == server.url + "/ASNARO-1/20181224060959386_AS1/{z}/{x}/{y}.png"
    with pytest.raises(DataError, match=r"has no files; put its tiles together: sarcore prep stitch"):
        source.files(found[0])


def test_without_a_token(server, monkeypatch, capsys):
    monkeypatch.delenv("SARCORE_TELLUS_TOKEN", raising=False)
    words = ["prep", "search", "--provider", "tellus", "--url", server.url, "--point", *map(str, POINT)]
    assert main(words) == 1
    assert "put it into the environment variable SARCORE_TELLUS_TOKEN" in capsys.readouterr().err
    assert not server.requests
    monkeypatch.setenv("SARCORE_TELLUS_TOKEN", "wrong-one")
    assert main(words) == 1
    error = capsys.readouterr().err
    assert "does not accept the token in SARCORE_TELLUS_TOKEN (401)" in error
    assert "wrong-one" not in error


def test_the_commands(server, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SARCORE_TELLUS_TOKEN", "sesame")
    place = ["--provider", "tellus", "--url", server.url, "--point", *map(str, POINT)]
    assert main(["prep", "search", *place]) == 0
    text = capsys.readouterr().out
    assert "2 scenes" in text
    assert "ALOS2237752900-181018" in text
    assert main(["prep", "search", *place, "--collection", "asnaro1"]) == 0
    assert "/ASNARO-1/20181224060959386_AS1/{z}/{x}/{y}.png" in capsys.readouterr().out
    get = ["prep", "download", *place, "--out", str(tmp_path / "data")]
    assert main([*get, "--id", "ALOS2-later"]) == 0
    name = "ALOS2-later"
    assert [path.name for path in (tmp_path / "data").iterdir()] == [name]
    assert (tmp_path / "data" / name / f"IMG-HH-{name}.tif").read_bytes() == b"bytes"
    assert main(get) == 0
    assert len(list((tmp_path / "data").iterdir())) == 2
    capsys.readouterr()
    assert main([*get, "--id", "none"]) == 1
    assert "the search does not find none; it finds ALOS2237752900-181018" in capsys.readouterr().err
    assert main(["prep", "search", "--provider", "tellus", "--url", server.url]) == 1
    assert "say where" in capsys.readouterr().err
    assert main([*place[:0], "prep", "search", *place[:4], "--point", "35.7", "139.8"]) == 1
    assert "longitude, latitude" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ({"count": 5}, "answered without 'items'"),
        ({"count": 1, "items": [{"bbox": [1, 2, 3, 4]}]}, "hands out|without 'publish_link'|without 'dataset_id'"),
        ({"count": 7, "items": []}, "has 7 scenes there and hands out 0"),
        ([], "answered without 'items'"),
    ],
)
def test_answers_of_another_kind(answer, says):
    with serving(lambda _: answered(answer)) as server, pytest.raises(DataError, match=says):
        tellus(server).search((2.0, 3.0))


def stac_item(url, name, time, **asset):
    ring = [[[139, 35], [140, 35], [140, 36], [139, 36], [139, 35]]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-1-grd",
        "geometry": {"type": "Polygon", "coordinates": ring}, "bbox": [139, 35, 140, 36],
        "properties": {"datetime": time}, "links": [{"rel": "self", "href": f"{url}/items/{name}"}],
        "assets": {"vv": {"href": f"{url}/files/{name}-vv.tif"} | asset,
                   "thumb": {"href": "thumbs/quick look.png?a=1"}},
    }  # fmt: skip


class RecordedStac:
    """A STAC API with two pages."""

    def __init__(self):
        self.url = ""
        self.files_url = ""

    def __call__(self, request):
        if request.path == "/":
            links = [{"rel": "self", "href": self.url}, {"rel": "root", "href": self.url}]
            links += [
                {"rel": "search", "href": f"{self.url}/search", "method": method, "type": "application/geo+json"}
                for method in ("GET", "POST")
            ]
            catalog = {"type": "Catalog", "id": "recorded", "description": "-", "stac_version": "1.0.0"}
            return answered(catalog | {"conformsTo": CONFORMS, "links": links})
        if request.path == "/search":
            asked = json.loads(request.body or b"{}")
            second = asked.get("token") == "2"
            digest = hashlib.sha256(b"bytes").hexdigest()
            data = {"file:size": 5, "file:checksum": "1220" + digest}
            item = stac_item(self.files_url, "S1-b" if second else "S1-a", "2020-01-02T03:04:05Z", **data)
            following = {
                "rel": "next",
                "href": f"{self.url}/search",
                "method": "POST",
                "body": {"token": "2"},
                "merge": True,
            }
            return answered({"type": "FeatureCollection", "features": [item], "links": [] if second else [following]})
        return Answer(b"bytes", headers={"ETag": '"1"'})


@pytest.fixture
def stac():
    recorded = RecordedStac()
    with serving(recorded) as files, serving(recorded) as found:
        recorded.url, recorded.files_url = found.url, files.url
        found.files = files
        yield found


def test_stac_search(stac):
    source = Stac(stac.url, token="sesame", token_name="NAME", wait=0)
    found = source.search(POINT, start="2020-01-01", end="2020-01-31", collection="sentinel-1-grd")
    asked = json.loads(stac.requests[1].body)
    assert asked["intersects"] == {"type": "Point", "coordinates": list(POINT)}
    assert asked["collections"] == ["sentinel-1-grd"]
    assert asked["datetime"].startswith("2020-01-01T00:00:00Z/2020-01-31T23:59:59")
    assert [item.id for item in found] == ["S1-a", "S1-b"]
    assert (found[0].bounds, found[0].time) == (Bounds(139, 35, 140, 36), "2020-01-02T03:04:05Z")
    assert all(request.headers["authorization"] == "Bearer sesame" for request in stac.requests)
    first, second = source.files(found[0])
    assert (first.name, first.size) == ("S1-a-vv.tif", 5)
    assert first.checksum == Checksum("sha256", hashlib.sha256(b"bytes").hexdigest())
    assert second == RemoteFile(stac.files.url + "/items/thumbs/quick look.png?a=1", "quick look.png")
    assert len(source.search(Bounds.of(139, 35, 140, 36), limit=1)) == 1
    assert json.loads(stac.requests[-1].body)["bbox"] == [139, 35, 140, 36]


def test_stac_download(stac, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("SARCORE_STAC_TOKEN", "sesame")
    place = ["--provider", "stac", "--url", stac.url, "--point", *map(str, POINT)]
    assert main(["prep", "download", *place, "--out", str(tmp_path), "--assets", "vv", "--id", "S1-b"]) == 0
    assert (tmp_path / "S1-b" / "S1-b-vv.tif").read_bytes() == b"bytes"
    assert [request.headers.get("authorization") for request in stac.files.requests] == [None]  # another server
    capsys.readouterr()
    assert main(["prep", "download", *place, "--out", str(tmp_path), "--assets", "hh"]) == 1
    assert "S1-a has no asset hh; it has vv, thumb" in capsys.readouterr().err
    assert main(["prep", "search", "--provider", "stac", "--point", "1", "2"]) == 1
    assert "stac needs the address of the API" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (answered({"type": "Something"}), "is no STAC API"),
        (Answer(b"<html>"), "is no STAC API"),
        (Answer(status=403), "403"),
        (Answer(status=500), "answered 500"),
    ],
)
def test_what_is_no_stac_api(answer, says):
    with serving(lambda _: answer) as server, pytest.raises(DataError, match=says):
        Stac(server.url, wait=0).search(POINT)


def test_times_bounds_and_checksums():
    assert span("2018-10-18", "2018-10-18")[0] < span("2018-10-18", "2018-10-18")[1]
    assert day("2018-10-18T09:30:00+09:00") == day("2018-10-18T00:30:00Z")
    with pytest.raises(ValueError, match="lies before the start"):
        span("2018-10-18", "2018-10-17")
    box = Bounds(0, 0, 2, 2)
    assert covers(box, Bounds(1, 1, 3, 3))
    assert not covers(box, Bounds(2, 0, 3, 1))
    assert not covers(box, (0.0, 1.0))  # strictly within, as in the document
    assert checksum_of({"checksum:multihash": "D50110" + "0" * 32}) == Checksum("md5", "0" * 32)
    assert checksum_of({"file:checksum": "9999"}) is None
    assert checksum_of({}) is None


def test_two_files_of_one_name_do_not_replace_each_other():
    entries = [{"url": f"https://a.org/{k}", "file_name": "a.tif"} for k in range(2)]
    answer = Answer(json.dumps({"files": entries}).encode())
    with serving(lambda _: answer) as server, pytest.raises(DataError, match=r"x has several files called a\.tif"):
        Tellus(files_url=server.url, token="t", wait=0).files(Item("x", "palsar2-l21", link=server.url))
