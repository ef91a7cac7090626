#!/usr/bin/env node
/** The `isotherm` command on a bare clone: installs what is missing, then runs `cli/isotherm.ts` on Node 24. */
import { runOnNode24 } from '../scripts/bootstrap.mjs'

runOnNode24('cli/isotherm.ts', process.argv.slice(2))
