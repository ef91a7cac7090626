/** `npm run sim -- report FOLDER`: one HTML page and one Markdown file of all results in it. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Command } from 'commander'
import { markdownOf } from './report/markdown.ts'
import { pageOf } from './report/page.ts'
import { RESULT_FORMAT, type ResultFile } from './report/result-file.ts'

export function addReportCommand(program: Command): void {
  program
    .command('report')
    .description('writes report.html and report.md of the results in a folder')
    .argument('<folder>', 'where `run --json` wrote its files')
    .action(async (folder: string) => {
      try {
        // The chart library takes longer to load than all other commands to start.
        const { chartsOf } = await import('./charts.ts')
        const results = readResults(folder)
        const html = join(folder, 'report.html')
        const markdown = join(folder, 'report.md')
        writeFileSync(html, pageOf(results, chartsOf))
        writeFileSync(markdown, markdownOf(results))
        process.stdout.write(`${results.length} results: ${html}, ${markdown}\n`)
      } catch (error) {
        process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
        process.exitCode = 1
      }
    })
}

/** Every result in the folder, by name of the file. Throws when one is none, or there is none. */
export function readResults(folder: string): ResultFile[] {
  const names = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .toSorted()
  if (names.length === 0) throw new Error(`no results in ${folder}: write some with 'run … --json'`)
  return names.map((name) => {
    const json = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Partial<ResultFile> | null
    if (json?.format !== RESULT_FORMAT || !Array.isArray(json.runs)) {
      throw new Error(`${join(folder, name)} is no result of 'sim run'`)
    }
    return json as ResultFile
  })
}
