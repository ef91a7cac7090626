/** `npm run sim -- laws`: the engine model beside published measurements of single requests. */
import type { Command } from 'commander'
import { engineLawTable } from './report/engine-laws.ts'
import { tableText } from './report/markdown.ts'

export function addLawsCommand(program: Command): void {
  program
    .command('laws')
    .description('prints the engine model beside published measurements of single requests')
    .action(() => {
      process.stdout.write(tableText(engineLawTable()))
    })
}
