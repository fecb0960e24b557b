/** The look of the page: for a screen, a phone and paper. Nothing is fetched. */
export const REPORT_STYLE = `
:root{--ink:#1b2330;--soft:#5b6675;--line:#dfe4ea;--paper:#fff;--wash:#f5f7f9;--good:#1a7f46;--bad:#c0322b;--wait:#9a6700;--blocked:#3f6ad8;--others:#2f9e74}
*{box-sizing:border-box}
body{margin:0;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;color:var(--ink);background:var(--wash)}
header,main{max-width:60rem;margin:0 auto;padding:0 1.5rem}
header{padding-top:2.5rem;padding-bottom:1rem}
header::before{content:"";display:block;width:4rem;height:6px;border-radius:3px;background:var(--wait);margin-bottom:1.2rem}
header.passed::before{background:var(--good)}
header.failed::before,header.aborted::before{background:var(--bad)}
h1{font-size:2rem;margin:.2rem 0 .6rem}
h2{font-size:1.15rem;margin:0 0 .8rem}
h3{font-size:1rem;margin:1rem 0 .4rem}
.kind{color:var(--soft);margin:0}
.lead{font-size:1.1rem;max-width:46rem;margin:0}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1.2rem 1.4rem;margin:1rem 0;overflow-x:auto}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(12.5rem,1fr));gap:1rem;padding:1.2rem 1.4rem}
.cards span{display:block;color:var(--soft);font-size:.85rem}
.cards strong{font-size:1.3rem;white-space:nowrap}
.figures{table-layout:fixed;min-width:40rem}
.figures th:first-child{width:18%}.figures th:last-child{width:32%}
table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.45rem .6rem .45rem 0;border-top:1px solid var(--line)}
tbody tr:first-child>*{border-top:0}
thead th{border-top:0;color:var(--soft);font-weight:500;font-size:.85rem}
tbody th{font-weight:500;white-space:nowrap;padding-right:1.2rem}
.number{color:var(--soft);width:1.8rem}
.proof ul{margin:.2rem 0 0;padding-left:1.1rem;color:var(--soft);font-size:.92rem}
.badge{display:inline-block;min-width:5rem;text-align:center;border-radius:99px;padding:.1rem .7rem;font-size:.85rem;font-weight:600;color:#fff;background:var(--soft)}
.badge.passed{background:var(--good)}.badge.failed{background:var(--bad)}.badge.open{background:var(--wait)}
.small{color:var(--soft);font-size:.85rem}
svg{width:100%;height:auto;display:block;font:11px system-ui,sans-serif;fill:var(--soft)}
svg .blocked{fill:var(--blocked)}svg .others{fill:var(--others)}svg .errors{fill:var(--bad)}
svg .shade{fill:#f3e3c4}svg .shade-text{fill:var(--wait)}
svg .axis{stroke:var(--line)}svg .line{fill:none;stroke:var(--ink);stroke-width:1.5}svg .dot{fill:var(--ink)}
.legend{color:var(--soft);font-size:.85rem;margin:.6rem 0 .3rem}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:2px;margin:0 .35rem 0 1rem;vertical-align:-1px}
.legend i:first-child{margin-left:0}
.legend .blocked{background:var(--blocked)}.legend .others{background:var(--others)}.legend .errors{background:var(--bad)}
blockquote{margin:.3rem 0;padding:.5rem .9rem;border-left:3px solid var(--line);white-space:pre-wrap;overflow-wrap:anywhere}
blockquote.answer{background:var(--wash)}
article+article{border-top:1px solid var(--line);margin-top:1rem;padding-top:.6rem}
.line-up{margin:.15rem 0}
@media print{body{background:#fff}section{break-inside:avoid;border-color:#ccc}}
`;
