"""What is in a page of runs: its text, its pictures and frames, the data of its charts."""

import base64
import html
import io
import json
import re

import numpy as np
from PIL import Image


def text_of(page):
    body = re.sub(r"<(script|style).*?</\1>", " ", page.read_text(), flags=re.S)
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)))


def frames(page):
    return json.loads(re.search(r'<script type="application/json" id="frames">(.*?)</script>', page.read_text())[1])


def charts(page):
    """Title -> its series, from the data that the page's script reads."""
    found = re.findall(r'<figure class="chart".*?</figure>', page.read_text(), flags=re.S)
    titled = [(re.search(r"<b>(.*?)</b>", one)[1], re.search(r"<script[^>]*>(.*?)</script>", one)[1]) for one in found]
    return {title: json.loads(data) for title, data in titled}


def decoded(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
