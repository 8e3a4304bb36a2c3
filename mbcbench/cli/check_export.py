"""Files that `mbcbench check` writes: records as JSON, test cases as JUnit XML, and a page."""

import json
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from mbcbench.types import JsonDict, JsonObject

if TYPE_CHECKING:
    from mbcbench.records.record import Record

EVIDENCE = ("gap", "bound", "examples", "counterexample", "culprit", "reproduce")
# The status badges have inline styles, as in a notebook. There is no script.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<link rel="icon" href="data:,">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{font: 15px/1.5 system-ui, sans-serif; margin: 2em}}
th, td {{padding: 2px 12px 2px 0; text-align: left}}
</style>
<h1>{title}</h1>
{body}
</html>
"""


def write_json(path: Path, records: "Sequence[Record]") -> None:
    lines = [json.dumps(_flat(record)) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _flat(record: "Record") -> JsonDict:
    """Return a law's record as one flat object. Evidence that a record lacks is null."""
    row = json.loads(record.to_json())
    names = ("encoder", "status", "seconds", "dtype", "device", "seed", "message")
    return {"law": row["case"], **{name: row[name] for name in names}, **evidence_of(row["value"], row["detail"])}


def evidence_of(gap: Any, detail: JsonObject) -> JsonDict:
    """Return the evidence in a law's record: its gap (the record's value), bound, examples and counterexample."""
    values = {"gap": gap, **detail}
    return {name: values.get(name) for name in EVIDENCE}


def write_junit(path: Path, records: "Sequence[Record]") -> None:
    """Write a test suite for each encoder, with a test case for each law."""
    root = ElementTree.Element("testsuites", name="mbcbench")
    for encoder in dict.fromkeys(record.encoder for record in records):
        of_encoder = [record for record in records if record.encoder == encoder]
        suite = ElementTree.SubElement(root, "testsuite", name=encoder, tests=str(len(of_encoder)))
        cases = [_add_case(suite, record) for record in of_encoder]
        for kind, attribute in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(kind) is not None for case in cases)))
        suite.set("time", f"{sum(record.seconds for record in of_encoder):.3f}")
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add_case(suite: ElementTree.Element, record: "Record") -> ElementTree.Element:
    from mbcbench.records.record import BROKEN, UNEXPECTED, Status

    case = ElementTree.SubElement(
        suite, "testcase", classname=record.encoder, name=record.case, time=f"{record.seconds:.3f}"
    )
    message = _printable(record.message)
    if record.status in UNEXPECTED | BROKEN:
        kind = "failure" if record.status in UNEXPECTED else "error"
        outcome = ElementTree.SubElement(case, kind, type=str(record.status), message=message)
        texts = (record.detail.get(name) for name in ("text", "reproduce", "traceback"))
        outcome.text = _printable("\n\n".join(str(text) for text in texts if text))
    elif record.status in (Status.SKIP, Status.XFAIL):
        ElementTree.SubElement(case, "skipped", type=str(record.status), message=message)
    elif message:
        ElementTree.SubElement(case, "system-out").text = message
    return case


def _printable(text: str) -> str:
    """Return a text without characters that XML cannot hold, such as the escapes of colours."""
    return "".join(character for character in text if character.isprintable() or character in "\n\t")


def write_html(path: Path, records: "Sequence[Record]") -> None:
    """Write a page with the table of laws and the counterexamples of each encoder."""
    from mbcbench.verify.check_result import to_check_result

    encoders = list(dict.fromkeys(record.encoder for record in records))
    results = [to_check_result(record for record in records if record.encoder == name) for name in encoders]
    body = "\n".join(str(result._repr_html_()) for result in results)
    page = PAGE.format(policy=POLICY, title=escape(f"Laws of {', '.join(encoders)}"), body=body)
    path.write_text(page, encoding="utf-8")
