/** `npm run sim`: the simulation in virtual time. A file for each subcommand. */
import { Command } from 'commander'
import { addDirectoryCommand } from './sim-directory.ts'
import { addLawsCommand } from './sim-laws.ts'
import { addReportCommand } from './sim-report.ts'
import { addRunCommand } from './sim-run.ts'

const program = new Command('sim').description('Simulations in virtual time')
addRunCommand(program)
addReportCommand(program)
addLawsCommand(program)
addDirectoryCommand(program)
await program.parseAsync()
