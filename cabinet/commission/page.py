"""The report as a page to print: one file, no script that runs, no reference to the outside."""

from __future__ import annotations

import html
from typing import Final

from cabinet.commission.report import Report, embed, fingerprint
from cabinet.commission.texts import check_name, facts_text, subject_name, verdict_name, word
from cabinet.core.commission.advice import Language, advice
from cabinet.core.commission.findings import Finding, Verdict, counts, worst

_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.45 system-ui,"Noto Sans CJK SC",sans-serif;color:#111;background:#fff;
margin:1.5rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.5rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem}
dt{color:#444}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse;width:100%}
th,td{border:1px solid #999;padding:.3rem .5rem;text-align:left;vertical-align:top}
td:nth-child(-n+3),th{white-space:nowrap}
tr{break-inside:avoid}thead{display:table-header-group}
.failed td:nth-child(3){background:#f8d7da;font-weight:700}.warn td:nth-child(3){background:#fff3cd}
.ok td:nth-child(3){background:#d9f2df}code{font-size:.8rem;overflow-wrap:anywhere}
.sign{margin-top:3rem;border-top:1px solid #111;width:24rem}
@media print{body{margin:0;max-width:none}}
"""


def render(report: Report, language: Language) -> bytes:
    """The page; the same bytes for the same report and language."""
    e = html.escape
    tongue = "en" if language == "en" else "zh-CN"
    number = counts(report.findings)
    result = ", ".join(
        f"{number[verdict]} {verdict_name(verdict, language)}" for verdict in Verdict
    )
    clock = "" if report.clock_trusted else f" ({word('clock', language)})"
    facts = (
        ("cabinet", report.cabinet),
        ("made", f"{report.made_at}{clock}"),
        ("by", report.technician or "–"),
        ("software", report.software),
        ("config", report.config_sha256),
        ("result", f"{verdict_name(worst(report.findings), language)} ({result})"),
        ("key", f"{report.public_key} ({fingerprint(report.public_key)})"),
        ("signature", report.signature),
    )
    top = "".join(f"<dt>{e(word(key, language))}</dt><dd>{e(value)}</dd>" for key, value in facts)
    heads = "".join(
        f'<th scope="col">{e(text)}</th>'
        for text in (
            word("check", language),
            word("what", language),
            word("result", language),
            word("seen", language),
            word("advice", language),
        )
    )
    rows = "".join(_row(finding, language) for finding in report.findings)
    title = f"{word('title', language)} {report.cabinet}"
    page = (
        f'<!doctype html><html lang="{tongue}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{e(title)}</title><style>{_STYLE}</style></head><body><main><h1>{e(title)}</h1>"
        f"<dl>{top}</dl><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        f'<p class="sign">{e(word("sign", language))}</p></main>'
        f'<script type="application/json" id="signed-report">{embed(report)}</script>'
        "</body></html>\n"
    )
    return page.encode()


def _row(finding: Finding, language: Language) -> str:
    e = html.escape
    told = ""
    if finding.cause is not None:
        texts = advice(finding.cause, language)
        told = f"{e(texts.cause)} → {e(texts.next_step)}"
    return (
        f'<tr class="{finding.verdict.value}"><td>{e(check_name(finding.check, language))}</td>'
        f"<td>{e(subject_name(finding.subject, language))}</td><td>{e(verdict_name(finding.verdict, language))}</td>"
        f"<td>{e(facts_text(finding.facts, language))}</td><td>{told}</td></tr>"
    )
