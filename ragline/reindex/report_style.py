"""The page around a run's report: HTML frame and style."""

from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>$title</title>
<style>
:root { color-scheme: light dark; --ink: #1d2530; --quiet: #5c6876; --page: #f5f6f8; --card: #fff; --line: #e1e5ea;
  --bar: #2f6fdb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8ecf1; --quiet: #9aa6b4; --page: #12161b; --card: #1b2128; --line: #303944; --bar: #6ea1f5; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 57rem; padding: 1.25rem 1rem 3rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
header p { color: var(--quiet); margin: 0; }
h1 { font-size: 1.35rem; line-height: 1.35; margin: .15rem 0 1.1rem; font-weight: 600; }
h2 { font-size: 1rem; margin: 0 0 .6rem; }
code { font: .88em ui-monospace, monospace; }
h1 code { font-size: .92em; }
.tiles { list-style: none; margin: 0 0 1rem; padding: 0; display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fit, minmax(8.4rem, 1fr)); }
.tiles li, section { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.tiles li { padding: .6rem .7rem; color: var(--quiet); font-size: .85rem; line-height: 1.3; }
.tiles b { display: block; color: var(--ink); font-size: 1.15rem; font-weight: 600; white-space: nowrap; }
section { padding: .9rem 1rem; margin: 0 0 1rem; }
details + details { border-top: 1px solid var(--line); margin-top: .5rem; padding-top: .5rem; }
summary { cursor: pointer; font-weight: 600; }
summary i { color: var(--quiet); font-style: normal; font-weight: 400; margin-left: .25rem; }
ul { margin: .4rem 0 0; padding-left: 1.2rem; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; font-size: .92rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem .35rem 0; border-top: 1px solid var(--line); }
tr:first-child > * { border-top: 0; }
th { width: 38%; font-weight: 400; }
td { color: var(--quiet); }
section > table th { color: var(--quiet); }
section > table td { color: var(--ink); }
small, .note { color: var(--quiet); font-size: .85rem; }
.note { margin: .4rem 0 0; }
svg { display: block; overflow: visible; font-size: 14px; }
svg rect { fill: var(--bar); }
svg text { fill: var(--ink); }
svg .value { fill: var(--quiet); font-size: 13px; }
svg line { stroke: var(--line); }
</style>
</head>
<body>
<header><p>$title</p><h1>$verdict</h1></header>
<ul class="tiles">$tiles</ul>
$sections
</body>
</html>
""")
