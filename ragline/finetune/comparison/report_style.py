"""What a fine-tuning report's page has beside the style of all pages."""

STYLE = """
:root { --good: #15803d; --bad: #c2410c; --even: #7b8794; --cell: #eef1f4; --cell-same: #e0e5ea; }
@media (prefers-color-scheme: dark) {
  :root { --good: #4ade80; --bad: #fb923c; --even: #8a97a5; --cell: #232b33; --cell-same: #2e3842; }
}
h1 .mark { display: inline-block; margin-right: .5rem; padding: .05rem .6rem; border-radius: 1rem; font-size: 1rem;
  color: var(--card); vertical-align: .1em; }
.mark.yes { background: var(--good); }
.mark.no { background: var(--bad); }
.tiles { grid-template-columns: repeat(auto-fit, minmax(9.6rem, 1fr)); }
h3 { font-size: .92rem; margin: .2rem 0 .4rem; font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 20rem), 1fr)); gap: 1rem 1.6rem; }
.pair > * { min-width: 0; }
.wide { overflow-x: auto; }
.wide table { table-layout: auto; min-width: 34rem; }
.wide th, .wide td { width: auto; padding-right: .8rem; }
.wide thead th { color: var(--quiet); font-size: .85rem; vertical-align: bottom; white-space: nowrap; }
.wide td { font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide td.text { white-space: normal; }
.up { color: var(--good); }
.down { color: var(--bad); }
.moves { list-style: none; padding: 0; margin: 0; }
.moves li { padding: .55rem 0; border-top: 1px solid var(--line); }
.moves li:first-child { border-top: 0; }
.moves .ranks { float: right; margin-left: .7rem; font-weight: 600; white-space: nowrap; }
.moves .gold { color: var(--quiet); font-size: .88rem; line-height: 1.4; margin: .15rem 0; display: -webkit-box;
  -webkit-line-clamp: 3; -webkit-box-orient: vertical; overflow: hidden; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 0 0 .5rem; color: var(--quiet); font-size: .88rem; }
.key i { display: inline-block; width: .85rem; height: .85rem; margin-right: .35rem; border-radius: .2rem;
  vertical-align: -.1em; }
.key .gold { background: var(--bar); }
.key .other { border: 2px solid var(--bad); }
svg path { fill: none; stroke: var(--bar); stroke-width: 2; stroke-linejoin: round; }
svg path.faint { stroke-width: 1; opacity: .35; }
svg path.gold { fill: var(--bar); fill-opacity: .55; stroke: none; }
svg path.other { stroke: var(--bad); }
svg .zero { stroke: var(--even); }
svg .range { stroke-width: 3; stroke-linecap: round; }
svg .good circle { fill: var(--good); }
svg .good .range { stroke: var(--good); }
svg .bad circle { fill: var(--bad); }
svg .bad .range { stroke: var(--bad); }
svg .even circle { fill: var(--even); }
svg .even .range { stroke: var(--even); }
svg.ranks { width: 100%; font-size: 13px; }
svg.ranks rect.cell { fill: var(--cell); }
svg.ranks rect.same { fill: var(--cell-same); }
svg.ranks g text { fill: var(--card); font-size: 12px; }
"""
