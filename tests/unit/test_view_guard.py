"""Who may ask: host names, the token, other sites; and what every answer carries."""

from pathlib import Path

import pytest

from overlap.errors import UserError
from overlap.view import guard
from overlap.view.guard import cookie_value, host_name
from overlap.view.settings import ViewSettings, is_loopback
from support.view_client import HTML, client_of

TOKEN = "correct-horse-battery-staple"
OPEN = ViewSettings(host="0.0.0.0", token=TOKEN)
PATHS = ("/", "/members", "/versions/x", "/events/now", "/nothing")


@pytest.mark.parametrize("path", [*PATHS[:2], "/healthz", "/static/style.css", "/login"])
def test_every_answer_has_the_headers(tmp_path: Path, path: str) -> None:
    with client_of(tmp_path) as client:
        answer = client.get(path, headers=HTML)
    for name in guard.HEADERS:
        assert name in answer.headers
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "a@localhost", "["])
def test_a_foreign_host_name_is_refused_on_loopback(tmp_path: Path, host: str) -> None:
    """A page whose name is made to point to 127.0.0.1 must read nothing."""
    with client_of(tmp_path) as client:
        answer = client.get("/", headers={"host": host})
        assert (answer.status_code, answer.json()["error"]["code"]) == (421, "unknown-host")


@pytest.mark.parametrize("host", ["localhost", "localhost:4300", "127.0.0.1:1", "[::1]:4300"])
def test_names_of_this_machine_are_accepted(tmp_path: Path, host: str) -> None:
    with client_of(tmp_path) as client:
        assert client.get("/", headers={"host": host}).status_code == 200


def test_a_proxy_has_its_own_name_and_path(tmp_path: Path) -> None:
    settings = ViewSettings(base_url="https://team.example/overlap/")
    settings.check()
    with client_of(tmp_path, settings) as client:
        answer = client.get("/", headers={"host": "team.example"})
        assert answer.status_code == 200
        assert 'href="/overlap/static/style.css"' in answer.text
        assert 'href="/overlap/members"' in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_there_is_nothing(tmp_path: Path, path: str) -> None:
    with client_of(tmp_path, OPEN) as client:
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "token-required")
        assert answer.headers["www-authenticate"] == "Bearer"
        page = client.get(path, headers=HTML)
        assert page.status_code == 303
        assert page.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer ", f"Basic {TOKEN}", "Bearer é",
        f"Bearer {cookie_value(TOKEN)}",
    ],
)  # fmt: skip
def test_another_token_is_refused(tmp_path: Path, header: str) -> None:
    with client_of(tmp_path, OPEN) as client:
        answer = client.get("/", headers={"authorization": header.encode()})
        assert answer.status_code == 401


def test_the_token_opens_every_page(tmp_path: Path) -> None:
    with client_of(tmp_path, OPEN, authorization=f"bearer {TOKEN}") as client:
        assert client.get("/").status_code == 200


def test_the_login_sets_a_cookie(tmp_path: Path) -> None:
    with client_of(tmp_path, OPEN) as client:
        assert client.get("/login").status_code == 200
        wrong = client.post("/login", data={"token": "wrong"})
        assert wrong.status_code == 403
        assert "This is not the token" in wrong.text
        assert "set-cookie" not in wrong.headers
        done = client.post("/login", data={"token": TOKEN, "next": "/members"})
        assert (done.status_code, done.headers["location"]) == (303, "/members")
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        assert TOKEN not in cookie
        assert client.get("/members").status_code == 200
        client.cookies.clear()
        assert client.get("/members").status_code == 401
        assert client.get("/", headers={"cookie": f"overlap_view={TOKEN}"}).status_code == 401


@pytest.mark.parametrize(
    "target", ["https://evil.example", "//evil.example", "/\\evil.example", "x"]
)
def test_the_login_leads_to_no_other_site(tmp_path: Path, target: str) -> None:
    with client_of(tmp_path, OPEN) as client:
        done = client.post("/login", data={"token": TOKEN, "next": target})
        assert done.headers["location"] == "/"


def test_a_large_form_is_refused(tmp_path: Path) -> None:
    with client_of(tmp_path, OPEN) as client:
        assert client.post("/login", data={"token": "x" * 10_000}).status_code == 413


def test_a_cookie_is_secure_behind_https(tmp_path: Path) -> None:
    settings = ViewSettings(token=TOKEN, base_url="https://team.example/overlap")
    with client_of(tmp_path, settings, host="team.example") as client:
        done = client.post("/login", data={"token": TOKEN})
        assert "secure" in done.headers["set-cookie"].lower()
        assert "path=/overlap" in done.headers["set-cookie"].lower()
        assert done.headers["location"] == "/overlap/"


def test_health_needs_no_token_and_tells_nothing(tmp_path: Path) -> None:
    with client_of(tmp_path, OPEN) as client:
        assert client.get("/healthz").json() == {"status": "ok"}


def test_requests_of_other_sites_are_refused_except_links(tmp_path: Path) -> None:
    with client_of(tmp_path) as client:
        site = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}
        assert client.get("/", headers=site).json()["error"]["code"] == "cross-site"
        link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert client.get("/", headers=link).status_code == 200
        assert client.post("/login", headers=link).status_code == 403
        assert client.post("/login", headers={"origin": "https://a.example"}).status_code == 403
        assert client.post("/login", headers={"origin": "http://localhost"}).status_code == 303


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        (ViewSettings(host="0.0.0.0"), "token-required"),
        (ViewSettings(host="overlap.example"), "token-required"),
        (ViewSettings(token="short"), "token-too-short"),
        (ViewSettings(base_url="team.example"), "invalid-base-url"),
        (ViewSettings(base_url="ftp://team.example"), "invalid-base-url"),
    ],
)
def test_unsafe_settings_are_refused(settings: ViewSettings, code: str) -> None:
    with pytest.raises(UserError) as caught:
        settings.check()
    assert caught.value.code == code


def test_loopback_addresses() -> None:
    assert [is_loopback(host) for host in ("::1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "::")] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert host_name("example.org:80") == "example.org"
