"""A page of the web server as tests read it: its text, tags and links; its rules are checked."""

from html.parser import HTMLParser

from support.view_client import HTML


class Page(HTMLParser):
    """The text and the tags of a page; fails on unbalanced tags."""

    EMPTY = ("meta", "link", "input", "br", "img")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []
        self._check_policy()
        ids = [attributes["id"] for _, attributes in self.tags if "id" in attributes]
        assert len(ids) == len(set(ids))

    def _check_policy(self) -> None:
        """No addresses of other hosts, and no inline styles and scripts."""
        for tag, attributes in self.tags:
            assert not [name for name in attributes if name == "style" or name.startswith("on")]
            for name in {"src", "href", "action"} & attributes.keys():
                assert attributes[name].startswith(("/", "#")), attributes
            assert tag != "script" or attributes.get("src"), attributes

    def handle_starttag(self, tag: str, attrs) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def links(self) -> set[str]:
        return {a["href"] for tag, a in self.tags if tag == "a"}


def page(client, path: str, status: int = 200) -> Page:
    answer = client.get(path, headers=HTML)
    assert answer.status_code == status, answer.text
    return Page(answer.text)
