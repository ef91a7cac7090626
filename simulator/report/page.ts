/** A report as one HTML page that asks nobody for anything: tables, and charts drawn beforehand. */
import type { ResultFile } from './result-file.ts'
import { tablesOf } from './table.ts'
import type { Table } from './table-data.ts'

const STYLE = `
:root { color-scheme: light dark }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem }
h2 { margin-top: 3rem; border-bottom: 1px solid #8884 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; display: block; overflow-x: auto }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #8883; white-space: nowrap }
th:first-child, td:first-child, td:nth-child(2), th:nth-child(2) { text-align: left }
caption { text-align: left; font-weight: 600; padding: .8rem 0 .3rem }
p.note { color: #777; margin: .2rem 0 1rem }
figure { margin: 1rem 0; background: #fff; border-radius: 6px; overflow-x: auto }
`

/** `chartsOf`: SVG of the charts of a result. */
export function pageOf(
  results: readonly ResultFile[],
  chartsOf: (result: ResultFile) => readonly string[],
): string {
  const sections = results.map((result) => {
    const charts = chartsOf(result).map((svg) => `<figure>${svg}</figure>`)
    const tables = tablesOf(result).filter(({ rows }) => rows.length > 0)
    return [
      `<h2 id="${escape(result.scenario)}">${escape(result.scenario)}</h2>`,
      `<p>${escape(result.title)}.</p>`,
      ...charts,
      ...tables.map(tableHtml),
    ].join('\n')
  })
  const contents = results.map(({ scenario }) => `<a href="#${escape(scenario)}">${escape(scenario)}</a>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Isotherm: simulation results</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Simulation results</h1>
<p>${contents.join(' · ')}</p>
${sections.join('\n')}
</body>
</html>
`
}

function tableHtml({ title, head, rows, note }: Table): string {
  const cells = (tag: string, row: readonly string[]) =>
    `<tr>${row.map((cell) => `<${tag}>${escape(cell)}</${tag}>`).join('')}</tr>`
  return [
    `<table><caption>${escape(title)}</caption>`,
    cells('th', head),
    ...rows.map((row) => cells('td', row)),
    '</table>',
    note === undefined ? '' : `<p class="note">${escape(note)}</p>`,
  ].join('\n')
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
