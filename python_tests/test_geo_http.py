"""Requests: what is retried, what is said, and who sees the token."""

import pytest

from sarcore.errors import DataError
from sarcore.geo.http import ATTEMPTS, Connection, HTTPError, check_url, token_from

from .http_server import Answer, serving


def bearer(request):
    return request.headers.get("authorization")


def test_the_token_goes_to_its_own_server_alone(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(lambda request: Answer(b"other")) as other:

        def answer(request):
            if request.path == "/away":
                return Answer(status=302, headers={"Location": other.url + "/landed"})
            if request.path == "/within":
                return Answer(status=307, headers={"Location": "/home"})
            return Answer(b"home")

        with serving(answer) as server:
            connection = Connection([server.url + "/api"], token="sesame", token_name="NAME", wait=0)
            assert connection.request("GET", server.url + "/away").content == b"other"
            assert connection.request("GET", server.url + "/within").content == b"home"
            connection.request("GET", other.url + "/direct")
            assert [bearer(request) for request in server.requests] == ["Bearer sesame"] * 3
            assert [bearer(request) for request in other.requests] == [None, None]
    assert not Connection(["http://a.org"], token="t").may_know("http://a.org/x")  # never in the clear over a network
    assert Connection(["https://a.org"], token="t").may_know("https://a.org:443/x")
    assert not Connection(["https://a.org"], token="t").may_know("https://a.org:8443/x")
    assert not Connection(["https://a.org"], token="t").may_know("https://a.org.evil.net/x")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_troubles_of_the_server_are_retried_a_few_times(status):
    answers = [Answer(status=status, headers={"Retry-After": "0"})] * 2 + [Answer(b'{"a": 1}')]
    with serving(lambda _: answers.pop(0)) as server:
        assert Connection(wait=0).json(server.url) == {"a": 1}
    with serving(lambda _: Answer(status=status)) as server:
        with pytest.raises(HTTPError, match=f"answered {status} {ATTEMPTS} times") as error:
            Connection(wait=0).request("GET", server.url)
        assert error.value.status == status
        assert len(server.requests) == ATTEMPTS


def test_the_wait_doubles_and_the_server_may_ask_for_another(monkeypatch):
    pauses = []
    monkeypatch.setattr("sarcore.geo.http.time.sleep", pauses.append)
    asked = iter([{}, {}, {"Retry-After": "7"}, {"Retry-After": "9999"}, {}])
    with serving(lambda _: Answer(status=503, headers=next(asked))) as server, pytest.raises(HTTPError):
        Connection(wait=1).request("GET", server.url)
    assert pauses == [1, 2, 7, 60]


@pytest.mark.parametrize(
    ("status", "token", "says"),
    [
        (401, None, r"wants a token \(401\); set NAME"),
        (401, "sesame", r"does not accept the token in NAME \(401\)"),
        (403, "sesame", r"does not allow this with the token in NAME \(403\)"),
        (404, "sesame", r"does not exist \(404\)"),
        (418, "sesame", "answered 418"),
    ],
)
def test_refusals_are_said_once_and_without_secrets(status, token, says):
    with serving(lambda _: Answer(status=status)) as server:
        connection = Connection([server.url], token=token, token_name="NAME", wait=0)
        with pytest.raises(HTTPError, match=says) as error:
            connection.request("GET", server.url + "/x", params={"signature": "hidden"})
        assert len(server.requests) == 1
    assert "hidden" not in str(error.value)
    assert "sesame" not in str(error.value)


def test_no_answer_and_answers_of_another_kind():
    with serving(lambda _: Answer()) as server:
        address = server.url
    with pytest.raises(DataError, match="no answer from .*: the connection failed; is the network there"):
        Connection(wait=0).request("GET", address + "?signature=hidden")
    with serving(lambda _: Answer(b"<html>")) as server, pytest.raises(DataError, match="is no JSON"):
        Connection(wait=0).json(server.url)
    with serving(lambda request: Answer(status=302, headers={"Location": request.path + "x"})) as server:
        with pytest.raises(DataError, match="redirects in circles"):
            Connection(wait=0).request("GET", server.url)
        assert len(server.requests) == 6 * ATTEMPTS


def test_tokens_of_the_environment(monkeypatch):
    monkeypatch.setenv("NAME", " sesame\n")
    assert token_from("NAME") == "sesame"
    monkeypatch.setenv("NAME", "  ")
    assert token_from("NAME") is None
    with pytest.raises(DataError, match="environment variable NAME"):
        token_from("NAME", needed=True)
    with pytest.raises(DataError, match="characters that no token has") as error:
        Connection(token="ses\name", token_name="NAME")
    assert "ses\n" not in str(error.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_says_that_the_token_was_not_sent(status):
    with serving(lambda _: Answer(status=status)) as other, serving(
        lambda _: Answer(status=302, headers={"Location": other.url + "/there"})
    ) as server:  # fmt: skip
        connection = Connection([server.url], token="sesame", token_name="NAME", wait=0)
        with pytest.raises(HTTPError, match=rf"the token in NAME was not sent: {other.url}/there is another server"):
            connection.request("GET", server.url + "/file")
    assert "authorization" not in other.requests[0].headers


@pytest.mark.parametrize("location", ["file:///etc/passwd", "http://[", "http://127.0.0.1:99999/x", "ftp://a.org/b"])
def test_redirects_to_what_is_no_address(location):
    with serving(lambda _: Answer(status=302, headers={"Location": location})) as server:
        with pytest.raises(DataError, match="no address"):
            Connection(wait=0).request("GET", server.url)
        assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["http://[::1", "http://a.org:99999/x"])
def test_addresses_that_are_none(url):
    with pytest.raises(DataError, match="is no address of a web server: "):
        check_url(url)
