"""The style sheet of documents, for screens, phones and A4 paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ink:#1c2733;--muted:#566069;--paper:#fbfaf7;--card:#fff;
 --line:#d9d5ca;--accent:#0f5c63;--red:#9b1c1c;--red-paper:#fdeaea;--amber:#6b4300;
 --amber-paper:#fff4dc;--said:#0b5a3a;--said-paper:#e6f5ec}
@media screen and (prefers-color-scheme:dark){
:root{--ink:#e6e9ec;--muted:#a9b2ba;--paper:#14181c;--card:#1b2126;--line:#39424a;--accent:#7fd0d6;
 --red:#ffb3ad;--red-paper:#4a1513;--amber:#ffd78a;--amber-paper:#3b2c09;--said:#9fe0bd;
 --said-paper:#12372a}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
 font-variant-numeric:tabular-nums}
header,main,footer{max-width:64rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.25rem}
h1,h2{font-family:Charter,"Bitstream Charter",Georgia,"DejaVu Serif",serif;font-weight:600;
 line-height:1.2;text-wrap:balance}
h1{font-size:clamp(1.6rem,4vw,2.4rem);margin:0 0 .9rem}
h2{font-size:1.45rem;margin:2.5rem 0 .5rem;padding-top:1.25rem;border-top:2px solid var(--line)}
h3{font-size:1rem;line-height:1.35;margin:0}
p{margin:0 0 .5rem;white-space:pre-line}
p:last-child{margin-bottom:0}
.audience{margin:0 0 1rem;padding:.7rem 1rem;border-left:5px solid var(--accent);
 background:var(--card);font-weight:600}
.about,.follows,footer{color:var(--muted);font-size:.9rem}
.meter{display:flex;height:.75rem;border:1px solid var(--line);border-radius:6px;overflow:hidden;
 margin:1rem 0 .4rem;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.meter span{background:var(--accent)}
.meter span.answered{background:var(--said)}
.meter span.judgement{background:var(--amber)}
.meter span.missing{background:var(--red)}
.open{margin:.8rem 0 0;padding-left:1.2rem;font-size:.95rem}
.open a{color:var(--red)}
.field{display:grid;grid-template-columns:15rem minmax(0,1fr);gap:.25rem 1.5rem;
 padding:.9rem 0;border-bottom:1px solid var(--line)}
.field:last-child{border-bottom:0}
.hook{display:block;color:var(--muted);font-size:.85rem;font-weight:400;margin-top:.15rem}
.blank,.judge,.said{padding:.55rem .8rem;border:2px solid;border-radius:6px;margin:0 0 .6rem;
 print-color-adjust:exact;-webkit-print-color-adjust:exact}
.blank{color:var(--red);border-color:var(--red);background:var(--red-paper);font-weight:600}
.judge{color:var(--amber);border-color:var(--amber);border-style:dashed;
 background:var(--amber-paper)}
.said{color:var(--said);border-color:var(--said);background:var(--said-paper)}
.lines{height:4.8rem;margin-top:.5rem;background:repeating-linear-gradient(
 transparent,transparent 1.5rem,currentColor 1.5rem,currentColor 1.55rem);opacity:.55}
.bears{color:var(--muted);font-size:.9rem;margin:.3rem 0}
.wide{overflow-x:auto;margin:0 0 .5rem}
table{border-collapse:collapse;width:100%;font-size:.93rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem .35rem 0;
 border-bottom:1px solid var(--line);min-width:5.5rem}
th{font-weight:600;color:var(--muted)}
.from{color:var(--muted);font-size:.8rem;margin:.45rem 0 0}
code{font:.95em ui-monospace,"DejaVu Sans Mono",monospace}
footer{padding-top:1.5rem;padding-bottom:3rem}
@media screen and (max-width:44rem){
.field{grid-template-columns:minmax(0,1fr)}
h2{margin-top:1.75rem}
}
@media print{
@page{size:A4;margin:18mm 16mm 20mm}
:root{color-scheme:light;--paper:#fff}
body{font-size:10pt;line-height:1.4;background:#fff}
header,main,footer{max-width:none;padding:0}
h1{font-size:19pt}h2{font-size:13.5pt;margin-top:14pt;padding-top:8pt}
h3{font-size:10pt}
h2{break-after:avoid}
h2+.field{break-before:avoid}
.field{grid-template-columns:42mm minmax(0,1fr);padding:6pt 0;break-inside:avoid}
.field.long{break-inside:auto}
tr,.blank,.judge,.said,.from{break-inside:avoid}
thead{display:table-header-group}
.wide{overflow:visible}
th,td{min-width:0}
table{font-size:9pt}
.open a{text-decoration:none}
}
"""
