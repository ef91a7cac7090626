/** A report as Markdown, for docs/. */
import type { ResultFile } from './result-file.ts'
import { tablesOf } from './table.ts'
import type { Table } from './table-data.ts'

/** Tables of at most so many rows stand in the document; longer ones are in the HTML page. */
export const ROWS_MAX = 60

export function markdownOf(results: readonly ResultFile[]): string {
  return results
    .map((result) => {
      const tables = tablesOf(result).filter(({ rows }) => rows.length > 0)
      return [`### ${result.scenario}`, '', `${result.title}.`, '', ...tables.map(tableText)].join('\n')
    })
    .join('\n')
}

export function tableText({ title, head, rows, note }: Table): string {
  const isLong = rows.length > ROWS_MAX
  const lines = [
    `**${title}.**${note === undefined ? '' : ` ${note}`}`,
    '',
    line(head),
    line(head.map(() => '---')),
    ...rows.slice(0, ROWS_MAX).map(line),
    ...(isLong
      ? ['', `${rows.length - ROWS_MAX} more rows are in the page that \`sim report\` writes.`]
      : []),
    '',
  ]
  return lines.join('\n')
}

function line(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
}
