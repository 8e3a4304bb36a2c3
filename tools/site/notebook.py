"""The page of a notebook: its text, its code, and the outputs that are stored in it."""

import base64
import json
import re
from pathlib import Path
from typing import Any


def notebook_page(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its images by the names under which the Markdown shows them."""
    parts: list[str] = []
    images: dict[str, bytes] = {}
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            name = f"{notebook.stem}-{len(images) + 1}.png"
            parts.append(_show(output, name))
            if image := output.get("data", {}).get("image/png"):
                images[name] = base64.b64decode(image)
    return "\n\n".join(parts) + "\n", images


def _show(output: dict[str, Any], image_name: str) -> str:
    """Return an output in the richest of its forms.

    Blank lines would end a block of HTML, and the site has a style for tables without a class.
    """
    data = output.get("data", {})
    if "image/png" in data:
        return f"![Output of the code above]({image_name})"
    if "text/html" in data:
        html = re.sub(r"<table[^>]*>", "<table>", "".join(data["text/html"]))
        return "\n".join(["<div>", *filter(str.strip, html.splitlines()), "</div>"])
    text = "".join(output["text"] if "text" in output else data["text/plain"]).rstrip()
    return f"```text\n{text}\n```"
