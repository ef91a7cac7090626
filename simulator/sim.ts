/** `npm run sim`: the simulation in virtual time. A file for each subcommand. */
import { Command } from 'commander'
import { addRunCommand } from './sim-run.ts'

const program = new Command('sim').description('Simulations in virtual time')
addRunCommand(program)
program.parse()
