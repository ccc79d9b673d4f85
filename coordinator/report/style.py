"""The report's style sheet, for screens, phones and paper."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--ink:#1c2733;--muted:#5a6570;--paper:#fbfaf7;--card:#fff;--line:#e2dfd6;--accent:#0f5c63}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
 font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif;
 font-variant-numeric:tabular-nums}
header,main,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:3rem}
h1,h2{font-family:Charter,"Bitstream Charter",Georgia,"DejaVu Serif",serif;font-weight:600;
 line-height:1.15;text-wrap:balance}
h1{font-size:clamp(1.9rem,5vw,3rem);margin:.2rem 0 1rem;letter-spacing:-.01em}
h2{font-size:1.65rem;margin:0 0 .4rem}
h3{font-size:1rem;line-height:1.35;margin:0 0 .35rem}
h3 small{font-weight:400}
small,caption,.eyebrow,.lead,figcaption p{color:var(--muted)}
section{margin:3.25rem 0;padding-top:1.75rem;border-top:1px solid var(--line)}
.skip{position:absolute;left:-999rem}
.skip:focus{left:1rem;top:1rem;background:#fff;padding:.5rem 1rem}
.eyebrow{margin:0;font-size:.9rem;letter-spacing:.02em}
.purpose{font-size:1.1rem;max-width:44rem;margin:0 0 1.75rem}
.purpose span{display:block;font-size:.85rem;color:var(--muted)}
.lead{margin:0 0 1.5rem;max-width:46rem}
.facts{display:grid;grid-template-columns:repeat(4,1fr);gap:1px;margin:0;background:var(--line);
 border:1px solid var(--line);border-radius:10px;overflow:hidden}
.facts div{background:var(--card);padding:.9rem 1.1rem}
dt{font-size:.85rem;color:var(--muted)}
dd{margin:0}
.facts dd{font-size:1.6rem;font-weight:600;line-height:1.25}
.privacy{margin:1.25rem 0 0;padding:.9rem 1.1rem;background:#fdf3e1;border:1px solid #e3c48d;
 border-left:6px solid #a8641a;border-radius:10px}
.privacy strong{display:block;color:#6b3c06}
.privacy p{margin:.2rem 0 0;max-width:52rem}
.badge{display:inline-grid;place-items:center;flex:none;min-width:1.9rem;height:1.6rem;
 padding:0 .3rem;border-radius:.8rem;color:#fff;font-size:.85rem;font-weight:600;
 vertical-align:middle;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.named{display:flex;gap:.55rem;align-items:flex-start}
svg{display:block;overflow:visible;print-color-adjust:exact;-webkit-print-color-adjust:exact}
svg text{font-size:12px;fill:#4a5560;font-family:inherit}
svg text.on{fill:#fff;font-weight:600;font-size:11px}
.sizes{list-style:none;margin:0;padding:0}
.sizes li{display:grid;grid-template-columns:2.4rem minmax(12rem,20rem) 1fr 13rem;gap:.9rem;
 align-items:center;padding:.45rem 0}
.sizes.partial li{grid-template-columns:2.4rem minmax(12rem,20rem) 1fr 20rem}
.sizes .name{font-weight:600}
.figure{text-align:right;white-space:nowrap}
.figure small{display:inline-block;min-width:3.6rem}
.note{margin:1rem 0 0;font-size:.95rem;color:var(--muted)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1.1rem}
.card{background:var(--card);border:1px solid var(--line);border-top:4px solid;
 border-radius:10px;padding:1.1rem 1.2rem;break-inside:avoid}
.card h3{font-size:1.08rem}
.reach{margin:0 0 .7rem;color:var(--muted)}
.card ul{list-style:none;margin:0;padding:0}
.card li{display:grid;grid-template-columns:2rem 1fr auto;gap:0 .4rem;padding:.4rem 0;
 border-top:1px solid var(--line)}
.card li small{grid-column:2/-1;text-align:right}
.card li b{text-align:right}
.use{margin:.7rem 0 0;font-size:.9rem}
.map{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:1rem}
.map .name{font-size:13px;font-weight:600;fill:var(--ink);paint-order:stroke;stroke:#fff;
 stroke-width:3px;stroke-linejoin:round}
.mark{color:var(--accent);font-size:.8rem;letter-spacing:-.1em;align-self:center}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}
thead th.number{text-align:right;white-space:normal}
.parties th:first-child{padding-left:.9rem}
caption{text-align:left;font-size:.9rem;padding-bottom:.5rem}
th,td{padding:.6rem .75rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{font-size:.85rem;color:var(--muted);font-weight:600;vertical-align:bottom}
thead th small{display:block;font-weight:400}
.range{color:inherit;white-space:nowrap}
.number{text-align:right;white-space:nowrap}
.heat{min-width:44rem}
.heat td{text-align:right;white-space:nowrap;border:2px solid var(--paper);border-radius:6px;
 vertical-align:middle;print-color-adjust:exact;-webkit-print-color-adjust:exact}
.heat td span{display:inline-block;width:1.7rem;font-size:.7rem;letter-spacing:-.1em}
.heat thead th+th{text-align:right}
.heat th:first-child{padding-left:0}
.heat tbody th{font-weight:600;min-width:14rem;vertical-align:middle}
.heat .named{align-items:center}
.heat tfoot th,.heat tfoot td{border-bottom:0;color:var(--muted)}
.heat tfoot td{padding-right:2.45rem}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
.heat td .hidden{width:1px}
.legend{font-size:.9rem;color:var(--muted);margin:.8rem 0 0}
.swatch{display:inline-block;width:1.4rem;height:.9rem;border-radius:3px;vertical-align:-1px;
 print-color-adjust:exact;-webkit-print-color-adjust:exact}
.swatch.below{background:#eeb274}
.swatch.above{background:#7dc1c2;margin-left:.8rem}
figure{margin:0;break-inside:avoid}
figcaption p{margin:0 0 .6rem;font-size:.9rem}
.strip{display:grid;grid-template-columns:15rem 1fr;gap:1.25rem;align-items:center;
 padding:1rem 0;border-top:1px solid var(--line)}
.strip:first-of-type{border-top:0}
.strip h3{margin:0}
.strip figcaption p{margin:.15rem 0 0}
.parties tbody th{font-weight:600}
.coordinator th,.coordinator td{background:#eef4f3;print-color-adjust:exact}
.masked{display:grid;grid-template-columns:1fr 1fr;gap:0 1.5rem;margin-top:1.5rem}
.masked .note{grid-column:1/-1}
.words{list-style:none;display:grid;grid-template-columns:repeat(auto-fill,minmax(10.5rem,1fr));
 gap:.25rem .9rem;margin:0;padding:.8rem 1rem;background:var(--card);border:1px solid var(--line);
 border-radius:10px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:2.25rem;margin-bottom:1.5rem}
.pair figure{display:flex;flex-direction:column;justify-content:space-between}
.plain{max-width:36rem}
details{margin-top:1rem}
summary{cursor:pointer;color:var(--accent);font-weight:600;padding:.4rem 0}
code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;
 font-size:.85rem}
code{overflow-wrap:anywhere}
pre{margin:.35rem 0 0;padding:.7rem .9rem;background:#1c2733;color:#f3f1ea;border-radius:8px;
 white-space:pre-wrap}
.hashes{margin:0 0 1.25rem}
.hashes div{display:grid;grid-template-columns:8rem 1fr;gap:1rem;padding:.5rem 0;
 border-bottom:1px solid var(--line)}
.checks{margin:0;padding-left:1.3rem}
ul.checks{list-style:none;padding-left:0}
.checks li{padding:.35rem 0}
.hashes small{display:block}
footer{padding-bottom:3rem;color:var(--muted);font-size:.9rem;border-top:1px solid var(--line)}
:focus-visible{outline:3px solid #c06a12;outline-offset:2px}
@media(max-width:46rem){
 .map .name{display:none}
 header{padding-top:1.75rem}
 section{margin:2.25rem 0;padding-top:1.4rem}
 .facts{grid-template-columns:1fr 1fr}
 .sizes li,.sizes.partial li{grid-template-columns:2.4rem 1fr auto;gap:.25rem .7rem;padding:.6rem 0}
 .sizes .bar{grid-column:2/-1;grid-row:2}
 .sizes .figure{white-space:normal;max-width:9rem}
 .strip,.pair,.masked,.hashes div{grid-template-columns:1fr;gap:.5rem}
 .pair{gap:1.75rem}
 .hashes div{gap:.1rem}
 .heat{min-width:34rem}
 .heat tbody th{min-width:0;width:2rem}
 .heat th:first-child{position:sticky;left:0;background:var(--paper);z-index:1}
 .heat th .name{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 .parties thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 .parties,.parties tbody,.parties tr,.parties th,.parties td{display:block;width:100%}
 .parties tr{background:var(--card);border:1px solid var(--line);border-radius:10px;
  margin:0 0 .9rem;padding:.5rem 0}
 .parties td{display:grid;grid-template-columns:9.5rem 1fr;gap:.6rem;border:0;padding:.25rem .9rem;
  text-align:left;white-space:normal}
 .parties th{border:0;padding:.25rem .9rem}
 .parties td::before{content:attr(data-label);color:var(--muted);font-size:.9rem}
 .coordinator th,.coordinator td{background:none}
 .parties .coordinator{background:#eef4f3}
}
@media print{
 body{background:#fff;font-size:10.5pt}
 section{margin:1.4rem 0;padding-top:1rem}
 header{padding-top:0}
 h2,.lead,caption,figcaption{break-after:avoid}
 .masked,.pair,.legend{break-inside:avoid}
 tr,.strip,.privacy{break-inside:avoid}
 .skip{display:none}
 .scroll{overflow:visible}
 .heat{min-width:0}
 a{color:inherit}
}
"""
